//! The Debian packages everything else stands on; installs those that are missing.
//!
//! Only installs, never upgrades or removes, and starts no service: nodes run their own daemons.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::command::{command, output, tail};
use crate::images;
use crate::layout;
use crate::lock::lock;
use crate::progress::Progress;

/// What the testbed runs or builds with, and why. Guest images have a list of their own.
const PACKAGES: &[&str] = &[
    // The agent links to libvirt, by pkg-config.
    "libvirt-dev",
    "pkg-config",
    // Each node's daemons.
    "libvirt-daemon-system",
    "libvirt-clients",
    "libvirt-daemon-driver-qemu",
    "qemu-system-x86",
    "qemu-utils",
    // Each node's switch, and all of OVN's databases.
    "openvswitch-switch",
    // Those databases' schemas, and what translates one into the other.
    "ovn-central",
    // What makes a node's switch do as the databases say.
    "ovn-host",
    // The allocator that all of them run with.
    "libjemalloc2",
    // UEFI, Secure Boot and TPMs of guests.
    "ovmf",
    "swtpm",
    "swtpm-tools",
    // Each node's first process, and its cables. util-linux, which enters namespaces, is always there.
    "tini",
    "iproute2",
    "ethtool",
    // runc is built with it, and runs containers by it.
    "libseccomp-dev",
    // kube-proxy translates by it.
    "nftables",
    // promtool, which checks the chart's rules.
    "prometheus",
    // Serves the images to the nodes.
    "busybox-static",
    // For people (and tests) on a node.
    "curl",
    "tcpdump",
    "ca-certificates",
];

/// Services that a Debian package would start on this machine while it is installed; none of them is needed here.
/// The second line tells it from an administrator's own, should whoever wrote it die before it is removed.
const POLICY: &str = "#!/bin/sh\n# devstack installs packages, and starts no services\nexit 101\n";
const POLICY_FILE: &str = "/usr/sbin/policy-rc.d";
const APT_LOCK_TIMEOUT_S: u32 = 600;
const QUOTED_LINES: usize = 15;

/// Installs the packages that are missing.
pub async fn ensure(progress: &Progress) -> Result<()> {
    if missing().await?.is_empty() {
        return Ok(());
    }
    let step = progress.step("Debian packages");
    let installer = lock(&Path::new(layout::CACHE).join("packages.lock")).await?;
    let missing = missing().await?;
    if missing.is_empty() {
        step.done_with("installed by someone else meanwhile");
        return Ok(());
    }
    step.message(format!("installing {}", missing.join(" ")));
    let count = missing.len();
    // A thread of its own, because apt must not be left alone: when this function is interrupted, the program ends only
    // once the thread has, and until then no service is started.
    let installing = tokio::task::spawn_blocking(move || {
        let _installer = installer;
        install(&missing)
    });
    installing.await.context("the installing thread died")??;
    step.done_with(format!("{count} installed"));
    Ok(())
}

fn install(packages: &[&str]) -> Result<()> {
    let _no_services = NoServices::begin(Path::new(POLICY_FILE))?;
    apt(&["update"])?;
    let install = ["install", "--yes", "--no-install-recommends"];
    let words: Vec<&str> = install.iter().chain(packages).copied().collect();
    apt(&words)
}

fn wanted() -> impl Iterator<Item = &'static str> {
    PACKAGES.iter().chain(images::PACKAGES).copied()
}

async fn missing() -> Result<Vec<&'static str>> {
    let format = "--showformat=${Package} ${db:Status-Status}\n";
    let mut query = command(["dpkg-query", "--show", format]);
    query.args(wanted());
    // dpkg-query exits with 1 when it does not know one of the packages, and lists the others all the same.
    let output = output(&mut query).await.context(
        "the testbed needs Debian (or a derivative) and its dpkg to install what it runs",
    )?;
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let installed = |package: &&str| {
        listed
            .lines()
            .any(|line| line.split_once(' ') == Some((package, "installed")))
    };
    Ok(wanted().filter(|package| !installed(package)).collect())
}

fn apt(words: &[&str]) -> Result<()> {
    let log_path = log_path();
    let log = File::options()
        .create(true)
        .append(true)
        .open(&log_path)
        .with_context(|| format!("failed to open {}", log_path.display()))?;
    let timeout = format!("DPkg::Lock::Timeout={APT_LOCK_TIMEOUT_S}");
    let mut apt = Command::new("apt-get");
    apt.args(["--quiet", "--option", &timeout])
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let status = apt.status().context("failed to start apt-get")?;
    if status.success() {
        return Ok(());
    }
    let text = std::fs::read_to_string(&log_path).unwrap_or_default();
    bail!(
        "`apt-get {}` failed ({status}); it said last:\n{}\nThe whole log: {}\nWhat to do: run it by hand as root, \
         repair what it complains about (network, sources.list, half-installed packages), and start again.",
        words.join(" "),
        tail(&text, QUOTED_LINES),
        log_path.display()
    )
}

fn log_path() -> PathBuf {
    Path::new(layout::CACHE).join("apt.log")
}

/// Keeps packages from starting services while it lives, the way Debian provides for it; leaves an
/// administrator's own policy alone.
struct NoServices {
    ours: Option<PathBuf>,
}

impl NoServices {
    fn begin(policy: &Path) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let found = match std::fs::read(policy) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(error).with_context(|| format!("failed to read {}", policy.display()));
            }
        };
        if found.is_some_and(|found| found != POLICY.as_bytes()) {
            return Ok(Self { ours: None });
        }
        let ours = Self {
            ours: Some(policy.to_owned()),
        };
        let context = || {
            format!(
                "failed to write {} (is this program run as root?)",
                policy.display()
            )
        };
        std::fs::write(policy, POLICY).with_context(context)?;
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(policy, executable).with_context(context)?;
        Ok(ours)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(policy) = &self.ours {
            let _ = std::fs::remove_file(policy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_of_ours_goes_even_if_an_earlier_run_left_it() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let policy = folder.path().join("policy-rc.d");
        drop(NoServices::begin(&policy)?);
        assert!(!policy.exists());
        std::mem::forget(NoServices::begin(&policy)?);
        assert!(policy.exists(), "left, as by a killed run");
        drop(NoServices::begin(&policy)?);
        assert!(!policy.exists());
        Ok(())
    }

    #[test]
    fn a_policy_of_the_administrators_stays() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let policy = folder.path().join("policy-rc.d");
        std::fs::write(&policy, "#!/bin/sh\nexit 101\n")?;
        drop(NoServices::begin(&policy)?);
        assert_eq!(std::fs::read(&policy)?, b"#!/bin/sh\nexit 101\n");
        Ok(())
    }
}
