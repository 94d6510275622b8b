//! An agent without a node, for tests: a hypervisor in memory, an API server that answers as it is told, and a state
//! folder of its own.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use kube::{Api, runtime::watcher};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    api::{
        guest::Guest,
        hypervisor::{HostCpu, Offers, VirtType},
        value::Size,
    },
    cluster::{
        Cache, Writer,
        mock::{Answer, MockServer},
    },
    node::{
        controller::{
            Context, MANAGER,
            host::{Host, Site, switch::Switch},
            memory::Memory,
        },
        disks::{Disks, GuestFolder},
        fake::Fake,
        images::{ImageCache, Limits},
        metrics::{ImageMetrics, NodeMetrics},
        plan::{
            capabilities::{self, HostFacts},
            fixtures::{HYPERVISOR, UID},
        },
    },
};

pub(super) mod switch;

/// The namespace of the node.
const NAMESPACE: &str = "kilonova-node-n1";
/// The guests of the node, and the one guest of these tests.
const GUESTS: &str = "/apis/kilonova.dev/v1alpha1/namespaces/kilonova-node-n1/guests";
/// The node's `Hypervisor`.
const NODE: &str = "/apis/kilonova.dev/v1alpha1/hypervisors/n1";

/// Everything that a controller of the agent stands on.
pub(super) struct Stage {
    pub(super) server: MockServer,
    pub(super) ctx: Arc<Context<Fake>>,
    state: TempDir,
    replaced: Arc<AtomicBool>,
}

/// The path of the guest.
pub(super) fn guest_path() -> String {
    format!("{GUESTS}/{UID}")
}

/// The same of its status.
pub(super) fn status_path() -> String {
    format!("{GUESTS}/{UID}/status")
}

/// What the API server says of an object's name and nothing else.
pub(super) fn metadata(uid: &str) -> Answer {
    Answer::ok(json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": { "name": "it", "uid": uid },
    }))
}

/// The guest as the API server has it.
pub(super) fn stored(mut guest: Guest) -> Guest {
    guest.metadata.namespace = Some(NAMESPACE.to_owned());
    guest.metadata.uid = Some("b2c8e0e4-5c0b-4b57-9d10-1f3f5a3c7e21".to_owned());
    guest.metadata.resource_version = Some("1".to_owned());
    guest
}

/// An agent that knows of these guests, and serves `HYPERVISOR`.
pub(super) async fn stage(guests: Vec<Guest>) -> Stage {
    let server = MockServer::new();
    let replaced = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&replaced);
    let hypervisor = Answer::by(move |_| {
        let other = "11111111-2222-4333-8444-555555555555";
        metadata(if asks.load(Ordering::Relaxed) {
            other
        } else {
            HYPERVISOR
        })
    });
    let list = json!({
        "apiVersion": "kilonova.dev/v1alpha1", "kind": "GuestList",
        "metadata": { "resourceVersion": "1" }, "items": guests,
    });
    server
        .on("GET", GUESTS, Answer::ok(list))
        .on("WATCH", GUESTS, Answer::Silent)
        .on("GET", NODE, hypervisor);
    // Fails when another test was first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let state = tempfile::tempdir().unwrap();
    let client = server.client();
    let ctx = Context {
        node: "n1".to_owned(),
        namespace: NAMESPACE.to_owned(),
        site: Site {
            state_dir: state.path().to_owned(),
            host_dev: state.path().join("dev"),
            open_vswitch: state.path().join("db.sock"),
            libvirt_uri: "qemu:///system".to_owned(),
            virt_type: None,
        },
        guests: Cache::start(
            Api::namespaced(client.clone(), NAMESPACE),
            watcher::Config::default(),
        )
        .await,
        writer: Writer::new(client, MANAGER),
        driver: Fake::new(host()),
        images: ImageCache::new(state.path(), Limits::default(), ImageMetrics::default()).unwrap(),
        disks: Disks::new(state.path()).unwrap(),
        memory: Memory::default(),
        host: Host::default(),
        switch: Switch::new(&state.path().join("db.sock")),
        metrics: NodeMetrics::default(),
    };
    Stage {
        server,
        ctx: Arc::new(ctx),
        state,
        replaced,
    }
}

impl Stage {
    /// From now on the node's `Hypervisor` is another one.
    pub(super) fn replace_cluster(&self) {
        self.replaced.store(true, Ordering::Relaxed);
    }

    /// An Open vSwitch of this host's, where the agent looks for one.
    pub(super) fn start_switch(&self) -> switch::Switch {
        switch::Switch::start(self.state.path())
    }

    /// The guest's folder.
    pub(super) fn folder(&self) -> GuestFolder {
        self.ctx.disks.guest(UID).unwrap()
    }

    /// Puts the guest's disk and seed there, and its image.
    pub(super) fn build(&self, guest: &Guest) {
        self.folder().create().unwrap();
        std::fs::write(self.ctx.images.path(&guest.spec.root_disk.image), "").unwrap();
        for file in [self.folder().root_disk(), self.folder().seed()] {
            std::fs::write(file, qcow2()).unwrap();
        }
    }

    /// Whether something of the guest was set aside.
    pub(super) fn is_aside(&self) -> bool {
        self.state.path().join("lost+found").join(UID).exists()
    }

    /// What the agent said of the guest, in order.
    pub(super) fn said(&self) -> Vec<Value> {
        let asked = self.server.asked().into_iter();
        asked
            .filter(|asked| asked.verb == "PATCH" && asked.path == status_path())
            .map(|asked| asked.body["status"].clone())
            .collect()
    }
}

/// The header of a disk that stands alone.
fn qcow2() -> Vec<u8> {
    let mut head = vec![0; 104];
    head[..8].copy_from_slice(b"QFI\xfb\0\0\0\x02");
    head[23] = 16;
    head
}

fn host() -> HostFacts {
    HostFacts {
        host: capabilities::Host {
            architecture: "x86_64".to_owned(),
            cpu: HostCpu::default(),
            numa: Vec::new(),
            vcpus: 1,
            memory: Size::gib(1),
            virt_types: vec![VirtType::Qemu],
            machines: Vec::new(),
            qemu_user: None,
        },
        virt_type: VirtType::Qemu,
        offers: Offers::default(),
        libvirt_version: "9.0.0".to_owned(),
        qemu_version: "7.2.22".to_owned(),
    }
}
