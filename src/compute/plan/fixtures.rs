//! Servers and what they are made of, for the tests of the plans beside this. Must never be part of a build that runs.
//!
//! Each builder makes the plainest thing that works; a test says what is different about its own.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, OwnerReference, Time};
use kube::ResourceExt;

use crate::api::{
    flavor::{Firmware, Flavor, FlavorSpec, Machine},
    guest::{
        ActionRecord, Guest, GuestAction, GuestSpec, GuestStatus, ImageContent, RootDisk,
        ServerIdentity,
    },
    image::{DiskFormat, HttpSource, Image, ImageProperties, ImageSource, ImageSpec, Visibility},
    key_pair::{KeyPair, KeyPairSpec},
    port::{OF_SERVER_LABEL, Port, PortAddress, PortSpec, PortStatus},
    server::{
        PowerState, Resources, RestartPolicy, Server, ServerNetwork, ServerSpec, ServerStatus,
    },
    server_action::{ActionState, Verb},
    value::{Reference, Size},
};

use super::{
    needs::Needs,
    ports,
    resolve::{Found, Resolved, UserDataFound},
    scheduler::{Refusal, Request, View},
    server::{NodeVoice, Observed},
};

/// The server's UID.
pub const UID: &str = "4ba4e3ee-7ed1-4bd8-a8b0-ae1a0b5a5d35";

/// A well-formed public key, of nobody.
pub const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The node that servers here are bound to.
pub const NODE: &str = "n1";

/// What the flavor gives.
pub const SMALL: Resources = Resources {
    vcpus: 1,
    memory: Size::mib(128),
    disk: Size::gib(1),
};

/// So many seconds after the beginning of time.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The same as Kubernetes writes it.
pub fn time(second: i64) -> Time {
    Time(at(second))
}

/// An object that is on its way out since second 1.
pub fn leaving<K: kube::Resource>(mut object: K) -> K {
    object.meta_mut().deletion_timestamp = Some(time(1));
    object
}

/// A server that nobody has looked at.
pub fn server() -> Server {
    let spec = ServerSpec {
        description: None,
        flavor: "small".to_owned(),
        image: Reference::new("tiny"),
        networks: Vec::new(),
        key_pairs: Vec::new(),
        user_data: None,
        hostname: None,
        power_state: PowerState::Running,
        shutdown: None,
        restart_policy: RestartPolicy::Always,
        placement: None,
        metadata_service: None,
    };
    let mut server = Server::new("web-1", spec);
    server.metadata.namespace = Some("shop".to_owned());
    server.metadata.uid = Some(UID.to_owned());
    server.metadata.generation = Some(3);
    server
}

/// A server on these networks.
pub fn with_networks(networks: &[&str]) -> Server {
    let network = |name: &&str| ServerNetwork {
        network: Some(Reference::new(*name)),
        port: None,
        name: None,
        addresses: Vec::new(),
        security_groups: None,
    };
    let mut server = server();
    server.spec.networks = networks.iter().map(network).collect();
    server
}

/// A port that was made for [`server`] and of which nobody has said anything; its UID ends with the number.
pub fn port(name: &str, number: u8) -> Port {
    let spec = PortSpec {
        description: None,
        network: Reference::new("front"),
        addresses: Vec::new(),
        mac: None,
        security_groups: None,
        port_security: None,
        allowed_address_pairs: Vec::new(),
        qos: None,
        enabled: true,
    };
    let mut port = Port::new(name, spec);
    port.metadata.namespace = Some("shop".to_owned());
    port.metadata.uid = Some(format!("5a3c9f0e-1b2d-4c3e-8f4a-6b7c8d9e0f{number:02x}"));
    port.metadata.labels = Some([(OF_SERVER_LABEL.to_owned(), UID.to_owned())].into());
    port.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "kilonova.dev/v1alpha1".to_owned(),
        kind: "Server".to_owned(),
        name: "web-1".to_owned(),
        uid: UID.to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }]);
    port
}

/// The same with its claim: an address that ends with the number.
pub fn claimed(name: &str, number: u8) -> Port {
    let mut port = port(name, number);
    port.status = Some(PortStatus {
        mac: Some(format!("02:00:00:00:00:{number:02x}").parse().unwrap()),
        mtu: Some(1442),
        network: Some("network-uid".to_owned()),
        server: Some("web-1".to_owned()),
        addresses: vec![PortAddress {
            subnet: "a".to_owned(),
            ip: [10, 0, 0, number].into(),
        }],
        ..PortStatus::default()
    });
    port
}

/// What was found of these ports.
pub fn ports(ports: impl IntoIterator<Item = Port>) -> ports::Found {
    let ports = ports.into_iter();
    ports::Found {
        ports: ports
            .map(|port| (port.name_any(), Arc::new(port)))
            .collect(),
        held: BTreeMap::new(),
    }
}

/// A server that is bound to [`NODE`] for the second time.
pub fn bound() -> Server {
    let mut server = server();
    server.metadata.finalizers = Some(vec![super::server::FINALIZER.to_owned()]);
    server.status = Some(ServerStatus {
        node: Some(NODE.to_owned()),
        epoch: Some(2),
        allocated: Some(SMALL),
        ..ServerStatus::default()
    });
    server
}

/// The guest of [`bound`] as its node was told, before the node has said anything.
pub fn guest() -> Guest {
    let spec = GuestSpec {
        server: ServerIdentity {
            namespace: "shop".to_owned(),
            name: "web-1".to_owned(),
            uid: UID.to_owned(),
        },
        epoch: 2,
        power: PowerState::Running,
        restart_policy: RestartPolicy::Always,
        shutdown_grace_seconds: 60,
        vcpus: 1,
        memory_mib: 128,
        cpu_model: None,
        machine: Machine::Q35,
        firmware: Firmware::Bios,
        secure_boot: false,
        tpm: false,
        root_disk: RootDisk {
            size: Size::gib(1),
            image: content(),
        },
        nics: Vec::new(),
        seed_secret: UID.to_owned(),
        metadata_tokens: crate::api::metadata::MetadataTokens::Optional,
        action: None,
        retired: false,
    };
    let mut guest = Guest::new(UID, spec);
    guest.metadata = ObjectMeta {
        namespace: Some("kilonova-node-n1".to_owned()),
        uid: Some("guest-uid".to_owned()),
        generation: Some(1),
        ..guest.metadata
    };
    guest
}

/// The guest once its node has said how it stands.
pub fn told(power: Option<PowerState>, conditions: Vec<Condition>) -> Guest {
    Guest {
        status: Some(GuestStatus {
            power,
            observed_generation: Some(1),
            conditions,
            ..GuestStatus::default()
        }),
        ..guest()
    }
}

/// The guest with an action that its node was told of, and has in this state.
pub fn acting(mut guest: Guest, verb: Verb, state: ActionState) -> Guest {
    let id = "action-uid".to_owned();
    guest.spec.action = Some(GuestAction {
        id: id.clone(),
        verb,
    });
    guest.status.get_or_insert_default().action = Some(ActionRecord {
        id,
        state,
        started_at: Some(time(50)),
        finished_at: state.is_final().then(|| time(60)),
        message: Some("as the node says".to_owned()),
    });
    guest
}

/// A condition as somebody else has written it, since second 5.
pub fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: time(5),
        observed_generation: Some(1),
    }
}

/// The image's content as guests are told of it.
pub fn content() -> ImageContent {
    ImageContent {
        name: "shop/tiny".to_owned(),
        url: "http://images.example/tiny.qcow2".to_owned(),
        sha256: "0a".repeat(32).parse().unwrap(),
        format: DiskFormat::Qcow2,
    }
}

/// A flavor that asks for nothing but sizes.
pub fn flavor() -> Flavor {
    let spec = FlavorSpec {
        description: None,
        vcpus: SMALL.vcpus,
        memory: SMALL.memory,
        disk: SMALL.disk,
        cpu: None,
        machine: None,
        firmware: None,
        secure_boot: None,
        tpm: None,
    };
    Flavor::new("small", spec)
}

/// A private image of the server's own project.
pub fn image() -> Image {
    let spec = ImageSpec {
        description: None,
        source: ImageSource {
            http: HttpSource {
                url: content().url,
                sha256: content().sha256,
            },
        },
        format: DiskFormat::Qcow2,
        min_disk: None,
        min_memory: None,
        visibility: Visibility::Private,
        properties: ImageProperties::default(),
    };
    let mut image = Image::new("tiny", spec);
    image.metadata.namespace = Some("shop".to_owned());
    image
}

/// A key pair.
pub fn key_pair(name: &str) -> KeyPair {
    let spec = KeyPairSpec {
        public_key: format!("{KEY} {name}"),
    };
    KeyPair::new(name, spec)
}

/// Everything that [`server`] names.
pub fn found() -> Found {
    Found {
        flavor: Some(Arc::new(flavor())),
        image: Some(Arc::new(image())),
        key_pairs: Vec::new(),
        user_data: UserDataFound::None,
        bound: false,
        seeded: false,
    }
}

/// What comes of it.
pub fn resolved() -> Resolved {
    Resolved {
        resources: SMALL,
        needs: Needs::default(),
        image: content(),
        public_keys: Vec::new(),
        user_data: UserDataFound::None,
        seeded: false,
    }
}

/// Why a cloud without hypervisors cannot take [`server`].
pub fn refusal() -> Refusal {
    let (needs, node_selector) = (Needs::default(), BTreeMap::new());
    let request = Request {
        uid: UID,
        resources: SMALL,
        needs: &needs,
        node_selector: &node_selector,
    };
    View::default().place(&request).unwrap_err()
}

/// A node that is heard of, and nothing else.
pub fn observed() -> Observed {
    Observed {
        guest: None,
        resolution: None,
        placement: None,
        node: NodeVoice::Heard,
        ports: ports::Found::default(),
    }
}

/// A node that is heard of, and has this guest.
pub fn observed_with(guest: Guest) -> Observed {
    Observed {
        guest: Some(Arc::new(guest)),
        ..observed()
    }
}
