//! OVN's central side: the northbound database, which says what networks there shall be, the southbound database, which
//! says what each node has to do for that, and ovn-northd, which makes the one from the other.
//!
//! On this machine itself, as the rest of the control plane, and reachable from the nodes at the bridge's address; where
//! nodes run pods, in pods, as Kilonova's chart brings it. Both databases are clusters, though of one server each here, so
//! that their clients see what they will see of more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};

use crate::cluster;
use crate::command::{command, run};
use crate::kilonova::SYSTEM_NAMESPACE;
use crate::layout::Layout;
use crate::part::{Part, Spec};
use crate::process;
use crate::progress::Progress;
use crate::slot::Slot;

const READY_DEADLINE: Duration = Duration::from_mins(1);
const NORTHD: &str = "ovn-northd";
/// By which the pods of the chart are found.
const POD_LABELS: &str = "app.kubernetes.io/name=kilonova,app.kubernetes.io/component=ovn";

/// One of the two databases.
#[derive(Clone, Copy, Debug)]
struct Database {
    /// Its part, and its files.
    part: &'static str,
    /// Its container, and its socket there.
    word: &'static str,
    /// The program that reads and writes it by hand.
    control: &'static str,
    schema: &'static str,
    /// Where nodes and operators reach it.
    port: u16,
    /// Where its servers reach each other, on loopback.
    peer_port: u16,
}

const NORTHBOUND: Database = Database {
    part: "ovn-nb",
    word: "northbound",
    control: "ovn-nbctl",
    schema: "/usr/share/ovn/ovn-nb.ovsschema",
    port: 6641,
    peer_port: 6643,
};

const SOUTHBOUND: Database = Database {
    part: "ovn-sb",
    word: "southbound",
    control: "ovn-sbctl",
    schema: "/usr/share/ovn/ovn-sb.ovsschema",
    port: 6642,
    peer_port: 6644,
};

/// The handle on a testbed's OVN.
#[derive(Clone, Debug)]
pub struct Ovn {
    layout: Layout,
    slot: Slot,
}

/// A part of OVN or Open vSwitch runs with the allocator that Kilonova starts OVN's programs with, and that its README
/// advises hosts to use.
pub(crate) fn with_allocator(spec: Spec) -> Spec {
    spec.env("LD_PRELOAD", "libjemalloc.so.2")
}

impl Ovn {
    pub(crate) fn new(layout: &Layout, slot: Slot) -> Self {
        let layout = layout.clone();
        Self { layout, slot }
    }

    /// Where the northbound database is, for programs on this machine, on nodes and in pods.
    pub fn northbound_endpoint(&self) -> String {
        self.endpoint(NORTHBOUND)
    }

    /// Where the southbound database is, for the same.
    pub fn southbound_endpoint(&self) -> String {
        self.endpoint(SOUTHBOUND)
    }

    /// Where it is by its sockets, for programs on this machine: one for each member.
    pub async fn northbound_sockets(&self) -> Result<String> {
        self.sockets(NORTHBOUND).await
    }

    /// The same of the southbound database.
    pub async fn southbound_sockets(&self) -> Result<String> {
        self.sockets(SOUTHBOUND).await
    }

    async fn sockets(&self, database: Database) -> Result<String> {
        let own = self.socket(database);
        if own.exists() {
            return Ok(format!("unix:{}", show(&own)));
        }
        let client = cluster::client(&self.layout.kubeconfig("admin")).await?;
        let pods: Api<Pod> = Api::namespaced(client, SYSTEM_NAMESPACE);
        let ours = ListParams::default().labels(POD_LABELS);
        let pods = pods.list(&ours).await;
        let pods = pods.context("failed to list the pods of OVN")?;
        let sockets = pods.into_iter().filter_map(|pod| {
            let containers = pod.status?.container_statuses?;
            let mut containers = containers.into_iter();
            let container = containers.find(|container| container.name == database.word)?;
            let id = container.container_id?;
            let process = process::first_of_container(id.rsplit('/').next()?)?;
            let word = database.word;
            Some(format!(
                "unix:/proc/{}/root/run/ovn/{word}.sock",
                process.pid
            ))
        });
        let sockets: Vec<String> = sockets.collect();
        ensure!(
            !sockets.is_empty(),
            "no pod has OVN's {} database; `kubectl get pods -n {SYSTEM_NAMESPACE}` tells why",
            database.word
        );
        Ok(sockets.join(","))
    }

    /// Runs `ovn-nbctl` and returns what it printed.
    pub async fn nbctl<S: AsRef<str>>(&self, words: impl IntoIterator<Item = S>) -> Result<String> {
        self.control(NORTHBOUND, words).await
    }

    /// Runs `ovn-sbctl` and returns what it printed.
    pub async fn sbctl<S: AsRef<str>>(&self, words: impl IntoIterator<Item = S>) -> Result<String> {
        self.control(SOUTHBOUND, words).await
    }

    /// Waits until a node's ovn-controller has told OVN about its node.
    pub async fn wait_chassis(&self, node: &str) -> Result<()> {
        self.sbctl(["wait-until", "Chassis", node])
            .await
            .map(drop)
            .with_context(|| format!("ovn-controller of node {node} does not register it"))
    }

    /// Makes it run and answer.
    pub(crate) async fn ensure(&self, progress: &Progress) -> Result<()> {
        let step = progress.step("OVN");
        let folder = self.layout.ovn();
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("failed to make {}", folder.display()))?;
        tokio::try_join!(
            self.ensure_database(NORTHBOUND),
            self.ensure_database(SOUTHBOUND)
        )?;
        self.ensure_northd().await?;
        step.done();
        Ok(())
    }

    async fn ensure_database(&self, database: Database) -> Result<()> {
        let file = self.file(database, "db");
        if !file.exists() {
            let peer = format!("tcp:{}:{}", self.slot.loopback(), database.peer_port);
            let file = show(&file);
            let create = [
                "ovsdb-tool",
                "create-cluster",
                &file,
                database.schema,
                &peer,
            ];
            run(&mut command(create)).await?;
        }
        let part = Part::new(&self.layout, database.part);
        let remote = format!("ptcp:{}:{}", database.port, self.slot.host_address());
        let spec = Spec::host(
            database.part,
            [
                "/usr/sbin/ovsdb-server".to_owned(),
                format!("--remote=punix:{}", show(&self.socket(database))),
                format!("--remote={remote}"),
                self.unixctl(database.part),
                "-vsyslog:off".to_owned(),
                "-vconsole:info".to_owned(),
                show(&file),
            ],
        );
        part.ensure(with_allocator(spec)).await?;
        part.wait_ready(READY_DEADLINE, async || {
            self.control(database, ["init"]).await.map(drop)
        })
        .await
    }

    async fn ensure_northd(&self) -> Result<()> {
        let spec = Spec::host(
            NORTHD,
            [
                "/usr/bin/ovn-northd".to_owned(),
                format!("--ovnnb-db=unix:{}", show(&self.socket(NORTHBOUND))),
                format!("--ovnsb-db=unix:{}", show(&self.socket(SOUTHBOUND))),
                self.unixctl(NORTHD),
                "-vsyslog:off".to_owned(),
                "-vconsole:info".to_owned(),
            ],
        );
        let part = Part::new(&self.layout, NORTHD);
        part.ensure(with_allocator(spec)).await?;
        part.wait_ready(READY_DEADLINE, async || {
            // Returns when northd has seen everything.
            self.nbctl(["--wait=sb", "sync"]).await.map(drop)
        })
        .await
    }

    async fn control<S: AsRef<str>>(
        &self,
        database: Database,
        words: impl IntoIterator<Item = S>,
    ) -> Result<String> {
        let sockets = format!("--db={}", self.sockets(database).await?);
        let mut control = command([database.control, &sockets, "--timeout=60"]);
        control.args(words.into_iter().map(|word| word.as_ref().to_owned()));
        run(&mut control).await
    }

    fn endpoint(&self, database: Database) -> String {
        format!("tcp:{}:{}", self.slot.host_address(), database.port)
    }

    fn socket(&self, database: Database) -> PathBuf {
        self.file(database, "sock")
    }

    fn unixctl(&self, part: &str) -> String {
        let socket = self.layout.ovn().join(format!("{part}.ctl"));
        format!("--unixctl={}", socket.display())
    }

    fn file(&self, database: Database, extension: &str) -> PathBuf {
        let name = format!("{}.{extension}", database.part);
        self.layout.ovn().join(name)
    }
}

fn show(path: &Path) -> String {
    path.display().to_string()
}
