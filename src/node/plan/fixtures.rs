//! Guests and what was seen of them, for tests: each begins as a healthy one and says how it differs.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use crate::{
    api::{
        flavor::{Firmware, Machine},
        guest::{
            Guest, GuestAction, GuestSpec, GuestStatus, ImageContent, Nic, RootDisk, ServerIdentity,
        },
        image::DiskFormat,
        server::{PowerState, RestartPolicy},
        server_action::Verb,
        value::Size,
    },
    node::{
        driver::{DomainInfo, DomainState, PortId},
        images::Presence,
    },
};

use super::{
    action::Recent,
    decide::{Files, Found, Observed, Papers, Sight},
    domain::Mark,
};

/// The UID of every guest here.
pub const UID: &str = "0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0";

/// So many seconds after the beginning of these tests' time.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

/// The UID of the node's `Hypervisor`.
pub const HYPERVISOR: &str = "7c0f1a52-9d0e-4c5e-8f5b-3a1d2e4b6c70";

/// The mark of a domain that is as it should be.
pub fn mark() -> Mark {
    Mark {
        hypervisor: Some(HYPERVISOR.to_owned()),
        epoch: 1,
        digest: "current".to_owned(),
    }
}

/// A guest of generation 1 that shall run, and of which nothing was said yet.
pub fn guest() -> Guest {
    let spec = GuestSpec {
        server: ServerIdentity {
            namespace: "shop".to_owned(),
            name: "web-1".to_owned(),
            uid: UID.to_owned(),
        },
        epoch: 1,
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
            image: ImageContent {
                name: "public/tiny".to_owned(),
                url: "http://images.example/tiny.qcow2".to_owned(),
                sha256: "a".repeat(64).parse().unwrap(),
                format: DiskFormat::Qcow2,
            },
        },
        nics: Vec::new(),
        seed_secret: UID.to_owned(),
        metadata_tokens: crate::api::metadata::MetadataTokens::Optional,
        action: None,
        retired: false,
    };
    let metadata = ObjectMeta {
        name: Some(UID.to_owned()),
        generation: Some(1),
        ..ObjectMeta::default()
    };
    Guest {
        metadata,
        spec,
        status: None,
    }
}

/// The NIC of the port with this number.
pub fn nic(number: u8) -> Nic {
    Nic {
        port: port(number).to_string(),
        name: format!("web-1-net{number}"),
        network: "9d8c7b6a-0000-4000-8000-000000000001".to_owned(),
        mac: format!("02:00:00:00:00:{number:02x}").parse().unwrap(),
        mtu: 1442,
        addresses: vec![[10, 0, 0, number].into()],
        port_security: true,
    }
}

/// The port with this number.
pub fn port(number: u8) -> PortId {
    format!("5a3c9f0e-1b2d-4c3e-8f4a-6b7c8d9e0f{number:02x}")
        .parse()
        .unwrap()
}

/// A domain in this state, with these NICs in its definition and those in what runs.
pub fn has_nics(state: DomainState, defined: &[u8], plugged: &[u8]) -> DomainInfo {
    DomainInfo {
        defined_nics: defined.iter().copied().map(port).collect(),
        plugged_nics: plugged.iter().copied().map(port).collect(),
        ..domain(state)
    }
}

impl Guest {
    /// Shall have these NICs.
    #[must_use]
    pub fn with_nics(mut self, numbers: &[u8]) -> Self {
        self.spec.nics = numbers.iter().copied().map(nic).collect();
        self
    }

    /// Shall do this.
    #[must_use]
    pub fn shall(mut self, power: PowerState) -> Self {
        self.spec.power = power;
        self
    }

    /// Was last reported so.
    #[must_use]
    pub fn was(mut self, power: PowerState) -> Self {
        self.status.get_or_insert_default().power = Some(power);
        self
    }

    /// Has been started before.
    #[must_use]
    pub fn has_run(mut self) -> Self {
        self.status.get_or_insert_default().started_at = Some(Time(at(-1000)));
        self
    }

    /// Was asked to power off then.
    #[must_use]
    pub fn stopping_since(mut self, time: Timestamp) -> Self {
        self.status.get_or_insert_default().stopping_since = Some(Time(time));
        self
    }

    /// Is started again by this policy.
    #[must_use]
    pub fn restarts(mut self, policy: RestartPolicy) -> Self {
        self.spec.restart_policy = policy;
        self
    }

    /// Has something to be done once.
    #[must_use]
    pub fn told_to(mut self, verb: Verb) -> Self {
        self.spec.action = Some(GuestAction {
            id: "action-1".to_owned(),
            verb,
        });
        self
    }

    /// Was last reported like this.
    #[must_use]
    pub fn reported(mut self, status: GuestStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// Is being deleted.
    #[must_use]
    pub fn deleted(mut self) -> Self {
        self.metadata.deletion_timestamp = Some(Time(at(0)));
        self
    }
}

/// A domain of ours in this state, defined as it should be.
pub fn domain(state: DomainState) -> DomainInfo {
    DomainInfo {
        id: UID.parse().unwrap(),
        name: format!("kilonova-{UID}"),
        state,
        has_managed_save: false,
        mark: Some(mark()),
        running_mark: state.is_active().then(mark),
        defined_nics: BTreeSet::new(),
        plugged_nics: BTreeSet::new(),
    }
}

/// A node that has built the guest's files and sees its domain in this state.
pub fn sees(state: DomainState) -> Observed {
    Observed {
        domain: Sight::Present(domain(state)),
        ..built()
    }
}

/// A node that has built the guest's files and has no domain.
pub fn built() -> Observed {
    Observed {
        domain: Sight::Absent,
        wanted: Ok(mark()),
        files: Files {
            path: "/guests/it/root.qcow2".into(),
            root_disk: Found::Yes,
            seed: Found::Yes,
            image: None,
            documents: Papers::Unneeded,
        },
        recent: Recent::default(),
    }
}

/// A node that has nothing of the guest but this much of its image.
pub fn bare(image: Presence) -> Observed {
    Observed {
        files: Files {
            root_disk: Found::No,
            seed: Found::No,
            image: Some(image),
            documents: Papers::There,
            ..built().files
        },
        ..built()
    }
}

/// An image that is there.
pub fn image() -> Presence {
    Presence::Ready {
        path: "/images/tiny".into(),
        virtual_size: 64 << 20,
        size: 16 << 20,
    }
}
