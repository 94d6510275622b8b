//! A testbed from its beginning to its end: the only module that knows in which order things come.
//!
//! ```text
//!   packages, programs ► bridges ► control plane, OVN, outside ► image server ┬► nodes with kubelets ► Kilonova by its chart
//!                                                                             └► CRDs ► operator ► nodes ► agents
//! ```
//!
//! The upper road is what users go. The lower one, without pods, is up in seconds, and each program in it can be
//! stopped and started by itself: for tests of what happens then, and of what needs no Kilonova.
//!
//! Each step makes true what is not true yet, so the same road leads from nothing, from a half-dead testbed and from
//! a running one to a running one. An `up` that fails removes what it made, if there was nothing before.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use kube::Client;

use crate::cluster::Cluster;
use crate::guardian::Guardian;
use crate::image_server::ServedImage;
use crate::interrupt::interruption;
use crate::kilonova::release::{Helm, Release};
use crate::layout::Layout;
use crate::lock::{Lock, lock};
use crate::node::Node;
use crate::outside::Outside;
use crate::ovn::Ovn;
use crate::part::Part;
use crate::programs::{Binaries, Needed};
use crate::progress::Progress;
use crate::record::Record;
use crate::slot::{NODES_MAX, Slot};
use crate::{
    addons, audit, cluster, container, control_plane, image_server, images, kilonova, network,
    packages, teardown,
};

/// The guest images there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestImage {
    /// A kernel and busybox: up in seconds.
    Tiny,
    /// Debian with systemd, cloud-init, sshd and the guest agent.
    Debian,
}

/// What a testbed shall have.
#[derive(Clone, Debug)]
pub struct Builder {
    name: String,
    nodes: u8,
    kilonova: Option<PathBuf>,
    pods: bool,
    guarded: bool,
    interruptible: bool,
    progress: Progress,
}

impl Builder {
    /// Nodes. Without any there is only a control plane (and the operator): enough for tests of kinds and admission,
    /// and up in seconds.
    #[must_use]
    pub fn nodes(self, nodes: u8) -> Self {
        Self { nodes, ..self }
    }

    /// Makes the nodes run pods: each has a kubelet, and Kilonova comes by its chart, as users install it. Otherwise
    /// its programs are processes of the testbed's own.
    #[must_use]
    pub fn pods(self) -> Self {
        Self { pods: true, ..self }
    }

    /// The `kilonova` binary to run as operator and as agents. Without it there are neither, nor CRDs.
    #[must_use]
    pub fn kilonova(self, binary: impl Into<PathBuf>) -> Self {
        Self {
            kilonova: Some(binary.into()),
            ..self
        }
    }

    /// Ties the testbed to this process: when the process ends, however it ends, or drops its [`Testbed`], the
    /// testbed goes, too. For tests.
    #[must_use]
    pub fn guarded(self) -> Self {
        Self {
            guarded: true,
            ..self
        }
    }

    /// Treats Ctrl-C as a failure, so that it cleans up as well. Only for programs that do nothing else: it takes
    /// Ctrl-C away from the process.
    #[must_use]
    pub fn interruptible(self) -> Self {
        Self {
            interruptible: true,
            ..self
        }
    }

    /// Where to report.
    #[must_use]
    pub fn progress(self, progress: Progress) -> Self {
        Self { progress, ..self }
    }

    /// Makes all of it run.
    ///
    /// # Errors
    /// Say what failed, where its log is and what to do. A testbed that did not exist before is removed again; its
    /// logs are kept in a folder that the error names.
    pub async fn up(self) -> Result<Testbed> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "a testbed is made of namespaces, links and mounts: run this as root"
        );
        ensure!(
            self.nodes <= NODES_MAX,
            "a testbed has at most {NODES_MAX} nodes"
        );
        let layout = Layout::new(&self.name)?;
        let (binaries, guardian, _changing) = tokio::select! {
            prepared = self.prepare(&layout) => prepared?,
            interrupted = interruption(), if self.interruptible => return interrupted,
        };
        let existed = Record::read(&layout)?.is_some();
        let made = tokio::select! {
            made = self.make(&layout, &binaries) => made,
            interrupted = interruption(), if self.interruptible => interrupted,
        };
        let slot = match made {
            Ok(slot) => slot,
            Err(error) if existed => return Err(error),
            Err(error) => return Err(undo(&layout, error).await),
        };
        Ok(Testbed {
            layout,
            slot,
            kubectl: binaries.path("kubectl")?.to_owned(),
            progress: self.progress,
            guardian,
        })
    }

    /// What comes before the first trace of the testbed.
    async fn prepare(&self, layout: &Layout) -> Result<(Binaries, Option<Guardian>, Lock)> {
        packages::ensure(&self.progress).await?;
        let needed = if self.pods {
            Needed::Pods
        } else {
            Needed::ControlPlane
        };
        let binaries = Binaries::ensure(needed, &self.progress).await?;
        binaries.link(Path::new(crate::layout::TOOLS))?;
        let guardian = if self.guarded {
            Some(Guardian::watch(&self.name, &self.progress).await?)
        } else {
            None
        };
        Ok((binaries, guardian, lock(&layout.lock()).await?))
    }

    async fn make(&self, layout: &Layout, binaries: &Binaries) -> Result<Slot> {
        let kubectl = binaries.path("kubectl")?;
        let mut record = Record::claim(layout, kubectl, self.pods).await?;
        ensure!(
            record.pods == self.pods,
            "testbed {} was made {} pods, and cannot be changed: remove it first (`{}`)",
            layout.name(),
            if record.pods { "with" } else { "without" },
            layout.devstack("down")
        );
        let slot = record.slot;
        record.nodes = record.nodes.max(self.nodes);
        record.kilonova.clone_from(&self.kilonova);
        kubectl.clone_into(&mut record.kubectl);
        record.write(layout)?;
        network::ensure(slot).await?;
        let (ovn, outside) = (Ovn::new(layout, slot), Outside::new(layout, slot));
        tokio::try_join!(
            control_plane::ensure(layout, slot, binaries, self.pods, &self.progress),
            async {
                if self.pods {
                    return Ok(()); // it comes by the chart
                }
                ovn.ensure(&self.progress).await
            },
            outside.ensure(),
        )?;
        let cluster = Cluster::connect(layout, slot, kubectl).await?;
        image_server::ensure(layout, slot).await?;
        let stack = Stack {
            layout,
            record: &record,
            cluster: &cluster,
            progress: &self.progress,
        };
        if self.pods {
            stack.install(binaries).await?;
        } else {
            stack.run_processes().await?;
        }
        if !self.pods || record.kilonova.is_some() {
            try_join_all((1..=record.nodes).map(async |number| {
                let node = Node::new(layout, slot, number);
                ovn.wait_chassis(node.name()).await
            }))
            .await?;
        }
        Ok(slot)
    }
}

/// A control plane that runs, and what shall run on it.
struct Stack<'a> {
    layout: &'a Layout,
    record: &'a Record,
    cluster: &'a Cluster,
    progress: &'a Progress,
}

impl Stack<'_> {
    /// Nodes with kubelets, and on them Kilonova by its chart.
    async fn install(&self, binaries: &Binaries) -> Result<()> {
        let cache = Path::new(crate::layout::CACHE);
        let pause = container::pause(cache, self.progress).await?;
        let image = match &self.record.kilonova {
            Some(binary) => Some(container::build(binary, cache, self.progress).await?),
            None => None,
        };
        let images: Vec<&container::Archive> = image.iter().chain([&pause]).collect();
        addons::ensure(self.layout, self.record, binaries, self.cluster).await?;
        self.each_node(async |node| {
            node_with_kubelet(node, self.record, self.cluster, binaries, &images).await
        })
        .await?;
        if let Some(image) = &image {
            let step = self.progress.step("Kilonova, by its chart");
            let release = Release::new(binaries, self.layout, Helm::V4)?;
            release.write_values(&image.reference, self.record.nodes)?;
            release.install(&kilonova::release::chart(), &[]).await?;
            step.done();
        }
        Ok(())
    }

    /// Operator and agents as processes, and nodes without kubelets.
    async fn run_processes(&self) -> Result<()> {
        let (layout, slot) = (self.layout, self.record.slot);
        if let Some(binary) = &self.record.kilonova {
            let step = self.progress.step("CRDs and operator");
            kilonova::ensure_crds(binary, self.cluster).await?;
            kilonova::ensure_operator(binary, layout, slot, self.cluster).await?;
            step.done();
        }
        self.each_node(async |node| node_with_process(node, self.record, self.cluster).await)
            .await
    }

    async fn each_node(&self, make: impl AsyncFn(&Node) -> Result<()>) -> Result<()> {
        try_join_all((1..=self.record.nodes).map(async |number| {
            let node = Node::new(self.layout, self.record.slot, number);
            let step = self.progress.step(format!("node {}", node.name()));
            make(&node).await?;
            step.done();
            anyhow::Ok(())
        }))
        .await
        .map(drop)
    }
}

/// Makes a node run, with its agent and its metadata service.
async fn node_with_process(node: &Node, record: &Record, cluster: &Cluster) -> Result<()> {
    let southbound = Ovn::new(node.layout(), record.slot).southbound_endpoint();
    node.ensure(record.nodes, Some(&southbound)).await?;
    cluster.ensure_node(node).await?;
    if let Some(binary) = &record.kilonova {
        kilonova::ensure_agent(binary, node, cluster).await?;
        kilonova::ensure_metadata(binary, node, cluster).await?;
    }
    Ok(())
}

/// Makes a node run that gives pods a place, with these container images.
async fn node_with_kubelet(
    node: &Node,
    record: &Record,
    cluster: &Cluster,
    binaries: &Binaries,
    images: &[&container::Archive],
) -> Result<()> {
    node.ensure(record.nodes, None).await?;
    node.ensure_pods(binaries, record.nodes, images).await?;
    cluster.wait_node_ready(node).await?;
    node.ensure_services(binaries).await?;
    cluster.label_node(node).await
}

async fn undo(layout: &Layout, error: anyhow::Error) -> anyhow::Error {
    let kept = teardown::keep_logs(layout);
    let removed = teardown::remove(layout).await;
    let error = match kept {
        Ok(folder) => error.context(format!(
            "`up` of testbed {} failed and was undone; its logs are in {}",
            layout.name(),
            folder.display()
        )),
        Err(lost) => error.context(format!("`up` failed, and its logs are lost ({lost:#})")),
    };
    match removed {
        Ok(()) => error,
        Err(left) => error.context(format!("not everything could be undone: {left:#}")),
    }
}

/// A testbed that exists.
#[derive(Debug)]
pub struct Testbed {
    layout: Layout,
    slot: Slot,
    kubectl: PathBuf,
    progress: Progress,
    guardian: Option<Guardian>,
}

impl Testbed {
    /// Describes a testbed to be brought up, or changed.
    pub fn builder(name: impl Into<String>) -> Builder {
        Builder {
            name: name.into(),
            nodes: 0,
            kilonova: None,
            pods: false,
            guarded: false,
            interruptible: false,
            progress: Progress::new(),
        }
    }

    /// The handle on a testbed that was brought up before, whatever of it runs.
    pub fn open(name: &str) -> Result<Self> {
        let layout = Layout::new(name)?;
        let record = Record::read(&layout)?.with_context(|| {
            let up = layout.devstack("up");
            format!("there is no testbed {name:?}; `{up}` makes one")
        })?;
        Ok(Self {
            layout,
            slot: record.slot,
            kubectl: record.kubectl,
            progress: Progress::silent(),
            guardian: None,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.layout.name()
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.layout.kubeconfig("admin")
    }

    /// A kubectl that suits the API server.
    pub fn kubectl(&self) -> &Path {
        &self.kubectl
    }

    /// How people tell `devstack` to do something to it.
    pub fn devstack(&self, words: &str) -> String {
        self.layout.devstack(words)
    }

    /// A client with the administrator's rights.
    pub async fn client(&self) -> Result<Client> {
        cluster::client(&self.kubeconfig()).await
    }

    /// The cluster, for what is simplest with kubectl.
    pub async fn cluster(&self) -> Result<Cluster> {
        Cluster::connect(&self.layout, self.slot, &self.kubectl).await
    }

    /// Applies the CRDs of a `kilonova` binary that the testbed does not run: for tests of kinds and admission.
    pub async fn apply_crds(&self, binary: &Path) -> Result<()> {
        kilonova::ensure_crds(binary, &self.cluster().await?).await
    }

    /// This machine as the nodes see it; what listens there, nodes can reach.
    pub fn host_address(&self) -> std::net::Ipv4Addr {
        self.slot.host_address()
    }

    /// Whether its nodes run pods, and Kilonova in them.
    pub fn has_pods(&self) -> Result<bool> {
        let record = Record::read(&self.layout)?.context("the testbed is gone")?;
        Ok(record.pods)
    }

    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }

    /// Makes a guest image, unless the cache has it, and serves it to the nodes.
    pub async fn image(&self, image: GuestImage) -> Result<ServedImage> {
        let cache = Path::new(crate::layout::CACHE);
        let made = match image {
            GuestImage::Tiny => images::tiny(cache, &self.progress).await?,
            GuestImage::Debian => images::debian(cache, &self.progress).await?,
        };
        image_server::serve(&self.layout, self.slot, &made)
    }

    /// A node by name: `n1`, `n2`, …
    pub fn node(&self, name: &str) -> Result<Node> {
        let nodes = self.nodes()?;
        let known: Vec<String> = nodes.iter().map(|node| node.name().to_owned()).collect();
        nodes
            .into_iter()
            .find(|node| node.name() == name)
            .with_context(|| format!("there is no node {name:?}, only {}", known.join(", ")))
    }

    /// All nodes.
    pub fn nodes(&self) -> Result<Vec<Node>> {
        let record = Record::read(&self.layout)?.context("the testbed is gone")?;
        Ok((1..=record.nodes)
            .map(|number| Node::new(&self.layout, self.slot, number))
            .collect())
    }

    /// What lies beyond the cloud.
    pub fn outside(&self) -> Outside {
        Outside::new(&self.layout, self.slot)
    }

    /// OVN's databases.
    pub fn ovn(&self) -> Ovn {
        Ovn::new(&self.layout, self.slot)
    }

    /// Gives a node that was powered off its power back: it boots, and what an administrator had set up to start with
    /// it starts.
    pub async fn boot(&self, name: &str) -> Result<()> {
        let record = Record::read(&self.layout)?.context("the testbed is gone")?;
        let (node, cluster) = (self.node(name)?, self.cluster().await?);
        if !record.pods {
            return node_with_process(&node, &record, &cluster).await;
        }
        let binaries = Binaries::ensure(Needed::Pods, &self.progress).await?;
        // All images but the one of its pods are on its disk.
        let pause = container::pause(Path::new(crate::layout::CACHE), &self.progress).await?;
        node_with_kubelet(&node, &record, &cluster, &binaries, &[&pause]).await
    }

    /// A part by name: `etcd`, `kube-apiserver`, `operator`, `n1/agent`, `n1/libvirtd`, …
    pub fn part(&self, name: &str) -> Result<Part> {
        let parts = self.parts()?;
        let known: Vec<String> = parts.iter().map(|part| part.name().to_owned()).collect();
        parts
            .into_iter()
            .find(|part| part.name() == name)
            .with_context(|| format!("there is no part {name:?}, only {}", known.join(", ")))
    }

    /// All parts that were started so far.
    pub fn parts(&self) -> Result<Vec<Part>> {
        Part::all(&self.layout)
    }

    /// Every request that the API server has served so far and wrote down.
    pub fn audit_log(&self) -> Result<Vec<audit::Request>> {
        audit::read(&self.audit_log_path())
    }

    /// The file that it writes them down in.
    pub fn audit_log_path(&self) -> PathBuf {
        self.layout.audit_log()
    }

    /// Ends everything and removes it.
    pub async fn down(self) -> Result<()> {
        let name = self.layout.name().to_owned();
        let step = self.progress.step(format!("removing testbed {name}"));
        teardown::down(&name).await?;
        drop(self.guardian); // finds nothing to do
        step.done();
        Ok(())
    }
}

/// A name that no other testbed has while this process runs: tests of several processes, side by side.
pub fn unique_name(prefix: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!(
        "{prefix}-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}
