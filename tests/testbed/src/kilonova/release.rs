//! Kilonova as users install it: by its Helm chart.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use crate::command::{command, run};
use crate::container::Reference;
use crate::layout::Layout;
use crate::programs::{Binaries, Needed};
use crate::record::write_file;
use crate::testbed::Testbed;

use super::SYSTEM_NAMESPACE;
use super::binary::workspace;

const NAME: &str = "kilonova";
/// How long Helm waits for all pods of a release: two that replace two others, each on a busy machine.
const TIMEOUT: &str = "5m";
/// The Secrets in which Helm keeps what it has begun and not ended.
const BEGUN: &str = "owner=helm,name=kilonova,status in (pending-install,pending-upgrade,pending-rollback,uninstalling)";

/// Which Helm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helm {
    /// Applies on its own side, and compares three ways.
    V3,
    /// Applies on the server's side.
    V4,
}

/// The release of a testbed, and the Helm that handles it.
#[derive(Clone, Debug)]
pub struct Release {
    helm: PathBuf,
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    /// What the testbed asks of the chart, and why, stands in [`write_values`].
    values: PathBuf,
}

impl Release {
    /// The release of a testbed that runs.
    pub async fn of(testbed: &Testbed, helm: Helm) -> Result<Self> {
        let binaries = Binaries::ensure(Needed::Pods, &crate::Progress::silent()).await?;
        Self::new(&binaries, testbed.layout(), helm)
    }

    pub(crate) fn new(binaries: &Binaries, layout: &Layout, helm: Helm) -> Result<Self> {
        let name = match helm {
            Helm::V3 => "helm3",
            Helm::V4 => "helm4",
        };
        Ok(Self {
            helm: binaries.path(name)?.to_owned(),
            kubectl: binaries.path("kubectl")?.to_owned(),
            kubeconfig: layout.kubeconfig("admin"),
            values: layout.root().join("values.json"),
        })
    }

    /// Writes down what the testbed asks of the chart.
    pub(crate) fn write_values(&self, image: &Reference, nodes: u8) -> Result<()> {
        let values = json!({
            "image": {"repository": image.repository, "tag": image.tag, "pullPolicy": "Never"},
            // Hardware virtualisation is missing or broken where the tests run.
            "agent": {"settings": {"virtType": "qemu"}},
            // Members on one node would all end with it; and without any node there is nobody to wait for.
            "ovn": {"central": {"enabled": nodes > 0, "replicas": if nodes < 3 { 1 } else { 3 }}},
        });
        write_file(&self.values, &serde_json::to_vec_pretty(&values)?) // JSON is YAML
    }

    /// Installs a chart, or upgrades what is installed, and waits until all of it is ready; `more` goes to Helm as it
    /// is, such as `--set`. What another Helm has begun counts as given up.
    pub async fn install(&self, chart: &Path, more: &[&str]) -> Result<()> {
        self.forget_begun().await?;
        let chart = chart.display().to_string();
        let values = self.values.display().to_string();
        let mut words = vec!["upgrade", "--install", NAME, &chart, "--values", &values];
        words.extend(["--create-namespace", "--wait", "--timeout", TIMEOUT]);
        words.extend(more);
        self.run(&words).await.map(drop).with_context(|| {
            let look = format!("kubectl get pods,events -n {SYSTEM_NAMESPACE}");
            format!("the chart could not be installed; `{look}` says more")
        })
    }

    /// Helm takes what one that was killed had begun for something that goes on, and refuses everything ever after.
    async fn forget_begun(&self) -> Result<()> {
        let mut delete = command([&self.kubectl]);
        delete.arg("--kubeconfig").arg(&self.kubeconfig);
        delete.args(["--namespace", SYSTEM_NAMESPACE]);
        delete.args(["delete", "secrets", "--selector", BEGUN]);
        let deleted = run(&mut delete).await.map(drop);
        deleted.context("failed to forget what Helm had begun and not ended")
    }

    /// Goes back to the revision before.
    pub async fn roll_back(&self) -> Result<()> {
        self.run(&["rollback", NAME, "--wait", "--timeout", TIMEOUT])
            .await
            .map(drop)
    }

    /// Runs the chart's own tests and returns what Helm said.
    pub async fn test(&self) -> Result<String> {
        self.run(&["test", NAME, "--logs", "--timeout", TIMEOUT])
            .await
    }

    /// Takes everything away that the chart brought, apart from what it keeps.
    pub async fn uninstall(&self) -> Result<()> {
        self.run(&["uninstall", NAME, "--wait", "--timeout", TIMEOUT])
            .await
            .map(drop)
    }

    async fn run(&self, words: &[&str]) -> Result<String> {
        let mut helm = command([&self.helm]);
        helm.arg("--kubeconfig").arg(&self.kubeconfig);
        helm.args(["--namespace", SYSTEM_NAMESPACE]).args(words);
        run(&mut helm).await
    }
}

/// The chart of this workspace.
pub fn chart() -> PathBuf {
    workspace().join("charts/kilonova")
}
