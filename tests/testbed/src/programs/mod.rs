//! The programs that the testbed runs and checks with: finds them on this machine, or builds them.
//!
//! Kubernetes' own are looked for in `$KUBEBUILDER_ASSETS`, then along the PATH, then in the cache, and what is still
//! missing is built into the cache, as is everything else: a node needs exactly these versions of containerd and runc.
//! Never takes a program of a version that Kilonova does not support, and never downloads a ready binary.

mod build;
mod module;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::module::Module;
use crate::command::{command, run};
use crate::progress::Progress;

/// What Kilonova needs at least.
const KUBERNETES_MIN: Release = (1, 32);
/// What the API server of [`KUBERNETES_MIN`] was released with.
const ETCD_MIN: Release = (3, 5);

/// Major and minor.
type Release = (u32, u32);

/// A program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tool {
    /// The name of its binary.
    name: &'static str,
    /// Its main package.
    package: &'static str,
    module: &'static Module,
    /// For one that may be somebody else's: the oldest release that will do, and the words that make it tell its own.
    found_elsewhere: Option<(Release, &'static [&'static str])>,
}

const fn kubernetes(name: &'static str, package: &'static str) -> Tool {
    Tool {
        found_elsewhere: Some((KUBERNETES_MIN, &["--version"])),
        ..built(name, package, &module::KUBERNETES)
    }
}

const fn built(name: &'static str, package: &'static str, module: &'static Module) -> Tool {
    Tool {
        name,
        package,
        module,
        found_elsewhere: None,
    }
}

/// What every testbed runs.
const CONTROL_PLANE: &[Tool] = &[
    Tool {
        found_elsewhere: Some((ETCD_MIN, &["--version"])),
        ..built("etcd", "go.etcd.io/etcd/server/v3", &module::ETCD)
    },
    Tool {
        found_elsewhere: Some((KUBERNETES_MIN, &["version", "--client"])),
        ..kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl")
    },
    kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    kubernetes(
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
];

/// What a testbed whose nodes run pods needs besides.
const PODS: &[Tool] = &[
    kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    kubernetes("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
    built(
        "containerd",
        "github.com/containerd/containerd/v2/cmd/containerd",
        &module::CONTAINERD,
    ),
    built(
        "containerd-shim-runc-v2",
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        &module::CONTAINERD,
    ),
    built(
        "ctr",
        "github.com/containerd/containerd/v2/cmd/ctr",
        &module::CONTAINERD,
    ),
    built("coredns", ".", &module::COREDNS),
    built("runc", "github.com/opencontainers/runc", &module::RUNC),
    built(
        "bridge",
        "github.com/containernetworking/plugins/plugins/main/bridge",
        &module::CNI,
    ),
    built(
        "loopback",
        "github.com/containernetworking/plugins/plugins/main/loopback",
        &module::CNI,
    ),
    built(
        "host-local",
        "github.com/containernetworking/plugins/plugins/ipam/host-local",
        &module::CNI,
    ),
    built("helm4", "helm.sh/helm/v4/cmd/helm", &module::HELM_4),
    built("helm3", "helm.sh/helm/v3/cmd/helm", &module::HELM_3),
];

/// What charts are checked with.
const CHARTS: &[Tool] = &[
    built(
        "helm-unittest",
        "github.com/helm-unittest/helm-unittest/cmd/helm-unittest",
        &module::HELM_UNITTEST,
    ),
    built(
        "kube-score",
        "github.com/zegl/kube-score/cmd/kube-score",
        &module::KUBE_SCORE,
    ),
];

/// Which programs are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// Those of a control plane.
    ControlPlane,
    /// Those of nodes that run pods, too.
    Pods,
    /// Every one, those that check charts included.
    All,
}

impl Needed {
    fn tools(self) -> impl Iterator<Item = &'static Tool> {
        let groups: &[&[Tool]] = match self {
            Self::ControlPlane => &[CONTROL_PLANE],
            Self::Pods => &[CONTROL_PLANE, PODS],
            Self::All => &[CONTROL_PLANE, PODS, CHARTS],
        };
        groups.iter().copied().flatten()
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Binaries {
    found: Vec<(&'static str, PathBuf)>,
}

impl Binaries {
    /// Finds or builds them.
    pub async fn ensure(needed: Needed, progress: &Progress) -> Result<Self> {
        let mut found = Vec::new();
        let mut missing: Vec<Tool> = Vec::new();
        for tool in needed.tools() {
            match find(tool).await {
                Some(path) => found.push((tool.name, path)),
                None => missing.push(*tool),
            }
        }
        while let Some(module) = missing.first().map(|tool| tool.module) {
            let (tools, others) = missing.into_iter().partition(|tool| tool.module == module);
            missing = others;
            let tools: Vec<Tool> = tools;
            let folder = build::build(module, &tools, progress).await?;
            found.extend(tools.iter().map(|tool| (tool.name, folder.join(tool.name))));
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

    /// The folder of a program, for those who look for it by name.
    pub fn folder(&self, name: &str) -> Result<&Path> {
        self.path(name)?
            .parent()
            .with_context(|| format!("{name} lies in no folder"))
    }

    /// Puts a link to each of them into a folder, for people and scripts that want them by name; `helm` is the newest.
    pub fn link(&self, folder: &Path) -> Result<()> {
        let context = || format!("failed to link programs into {}", folder.display());
        std::fs::create_dir_all(folder).with_context(context)?;
        let found = self.found.iter().map(|(name, path)| (*name, path));
        let helm = found.clone().find(|(name, _)| *name == "helm4");
        for (name, path) in found.chain(helm.map(|(_, path)| ("helm", path))) {
            // Made beside and renamed, so that whoever uses the old one meanwhile finds the one or the other.
            let link = tempfile::Builder::new()
                .make_in(folder, |link| std::os::unix::fs::symlink(path, link));
            link.with_context(context)?
                .into_temp_path()
                .persist(folder.join(name))
                .with_context(context)?;
        }
        Ok(())
    }
}

async fn find(tool: &Tool) -> Option<PathBuf> {
    let built = tool.module.folder();
    let Some((release_min, ask)) = tool.found_elsewhere else {
        return Some(built.join(tool.name)).filter(|built| built.is_file());
    };
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = assets.into_iter().chain(std::env::split_paths(&path));
    for folder in folders.chain([built]) {
        let candidate = folder.join(tool.name);
        if candidate.is_file() && release_of(&candidate, ask).await >= Some(release_min) {
            return Some(candidate);
        }
    }
    None
}

async fn release_of(candidate: &Path, ask: &[&str]) -> Option<Release> {
    let said = run(command([candidate]).args(ask)).await.ok()?;
    parse_version(&said)
}

/// The first thing that looks like a release, as in `Kubernetes v1.36.3`, `Client Version: v1.32.4-dispatcher` or
/// `etcd Version: 3.7.3`. Programs of distributors that dispatch to other versions are no releases.
fn parse_version(said: &str) -> Option<Release> {
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
