//! The Kubernetes programs: finds them on this machine, or builds them.
//!
//! Looks in `$KUBEBUILDER_ASSETS`, then along the PATH, then in the cache, and builds what is still missing into the
//! cache. Never takes a program of a version that Kilonova does not support, and never downloads a ready binary.

mod build;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::{command, run};
use crate::progress::Progress;

/// What Kilonova needs at least.
const KUBERNETES_MIN: (u32, u32) = (1, 32);
/// What the API server of [`KUBERNETES_MIN`] was released with.
const ETCD_MIN: (u32, u32) = (3, 5);

/// A program of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// The name of its binary.
    pub name: &'static str,
    /// Its main package.
    package: &'static str,
    module: &'static build::Module,
    version_min: (u32, u32),
    version_flag: &'static [&'static str],
}

const fn kubernetes(name: &'static str, package: &'static str) -> Tool {
    Tool {
        name,
        package,
        module: &build::KUBERNETES,
        version_min: KUBERNETES_MIN,
        version_flag: &["--version"],
    }
}

/// One line for each program the testbed may need.
const ETCD: Tool = Tool {
    name: "etcd",
    package: "go.etcd.io/etcd/server/v3",
    module: &build::ETCD,
    version_min: ETCD_MIN,
    version_flag: &["--version"],
};
const APISERVER: Tool = kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver");
const CONTROLLER_MANAGER: Tool = kubernetes(
    "kube-controller-manager",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
);
const KUBECTL: Tool = Tool {
    version_flag: &["version", "--client"],
    ..kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl")
};
const TOOLS: &[Tool] = &[ETCD, KUBECTL, APISERVER, CONTROLLER_MANAGER];

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Binaries {
    found: Vec<(&'static str, PathBuf)>,
}

impl Binaries {
    /// Finds or builds them all.
    pub async fn ensure(progress: &Progress) -> Result<Self> {
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for tool in TOOLS {
            match find(tool).await {
                Some(path) => found.push((tool.name, path)),
                None => missing.push(*tool),
            }
        }
        for module in [&build::ETCD, &build::KUBERNETES] {
            let tools: Vec<Tool> = missing
                .iter()
                .copied()
                .filter(|tool| tool.module == module)
                .collect();
            if !tools.is_empty() {
                let folder = build::build(module, &tools, progress).await?;
                found.extend(tools.iter().map(|tool| (tool.name, folder.join(tool.name))));
            }
        }
        Ok(Self { found })
    }

    /// The program of this name.
    pub fn path(&self, name: &str) -> Result<&Path> {
        self.found
            .iter()
            .find_map(|(found, path)| (*found == name).then_some(path.as_path()))
            .with_context(|| format!("the testbed does not know a program {name:?}"))
    }
}

async fn find(tool: &Tool) -> Option<PathBuf> {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = assets
        .into_iter()
        .chain(std::env::split_paths(&path))
        .chain([build::folder(tool.module)]);
    for folder in folders {
        let candidate = folder.join(tool.name);
        if candidate.is_file() && is_new_enough(tool, &candidate).await {
            return Some(candidate);
        }
    }
    None
}

async fn is_new_enough(tool: &Tool, candidate: &Path) -> bool {
    let mut ask = command([candidate]);
    ask.args(tool.version_flag);
    run(&mut ask)
        .await
        .ok()
        .and_then(|said| parse_version(&said))
        .is_some_and(|version| version >= tool.version_min)
}

/// The first thing that looks like a release, as in `Kubernetes v1.36.3`, `Client Version: v1.32.4-dispatcher` or
/// `etcd Version: 3.7.3`. Programs of distributors that dispatch to other versions are no releases.
fn parse_version(said: &str) -> Option<(u32, u32)> {
    let first_line = said.lines().next()?; // others tell versions of other things
    first_line.split_whitespace().find_map(|word| {
        let mut numbers = word.strip_prefix('v').unwrap_or(word).split('.');
        let (major, minor, patch) = (numbers.next()?, numbers.next()?, numbers.next()?);
        patch.parse::<u32>().ok()?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(parse_version("Kubernetes v1.36.3\n"), Some((1, 36)));
        assert_eq!(
            parse_version("etcd Version: 3.7.3\nGit SHA: x"),
            Some((3, 7))
        );
        assert_eq!(
            parse_version("Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0"),
            None
        );
        assert_eq!(parse_version("what?"), None);
        assert!((1, 9) < KUBERNETES_MIN && (1, 36) > KUBERNETES_MIN);
    }
}
