//! From a server and what it is made of to the `Guest` that its node is told, and the seed beside it.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;

use crate::api::{
    guest::{
        FINALIZER, Guest, GuestSpec, Nic, RootDisk, SEED_META_DATA, SEED_NETWORK_CONFIG,
        SEED_USER_DATA, ServerIdentity,
    },
    metadata::MetadataTokens,
    node_namespace,
    server::{DEFAULT_GRACE, Server},
};

use super::{
    cloud_init::{self, SeedRequest},
    resolve::{Resolved, UserDataFound},
    server::Binding,
};

/// The most characters that a host name has between two dots.
const HOST_LABEL_MAX: usize = 63;

/// The guest that `binding`'s node shall run for the server.
pub fn compile(server: &Server, resolved: &Resolved, binding: &Binding, nics: Vec<Nic>) -> Guest {
    let uid = server.uid().unwrap_or_default();
    let spec = GuestSpec {
        server: ServerIdentity {
            namespace: server.namespace().unwrap_or_default(),
            name: server.name_any(),
            uid: uid.clone(),
        },
        epoch: binding.epoch,
        power: server.spec.power_state,
        restart_policy: server.spec.restart_policy,
        shutdown_grace_seconds: grace_seconds(server),
        vcpus: resolved.resources.vcpus,
        memory_mib: resolved.resources.memory.as_mib(),
        cpu_model: resolved.needs.cpu_model.clone(),
        machine: resolved.needs.machine,
        firmware: resolved.needs.firmware,
        secure_boot: resolved.needs.secure_boot,
        tpm: resolved.needs.tpm,
        root_disk: RootDisk {
            size: resolved.resources.disk,
            image: resolved.image.clone(),
        },
        nics,
        seed_secret: uid.clone(),
        metadata_tokens: metadata_tokens(server),
        action: None,
        retired: false,
    };
    let metadata = ObjectMeta {
        name: Some(uid),
        namespace: Some(node_namespace(&binding.node)),
        finalizers: Some(vec![FINALIZER.to_owned()]),
        ..ObjectMeta::default()
    };
    Guest {
        metadata,
        spec,
        status: None,
    }
}

/// The guest as it is, with what its owner may change as the owner has it now. What was resolved once stays: a
/// flavor or image that changed or vanished since does not touch a server that was made from it.
pub fn refresh(server: &Server, guest: &Guest, nics: Vec<Nic>) -> Guest {
    let spec = GuestSpec {
        power: server.spec.power_state,
        restart_policy: server.spec.restart_policy,
        shutdown_grace_seconds: grace_seconds(server),
        nics,
        metadata_tokens: metadata_tokens(server),
        ..guest.spec.clone()
    };
    written(guest, spec)
}

/// The guest, marked as gone for good.
pub fn retire(guest: &Guest) -> Guest {
    written(
        guest,
        GuestSpec {
            retired: true,
            ..guest.spec.clone()
        },
    )
}

/// The parts of a guest that the server controller owns, ready to be applied.
fn written(guest: &Guest, spec: GuestSpec) -> Guest {
    let metadata = ObjectMeta {
        name: guest.metadata.name.clone(),
        namespace: guest.metadata.namespace.clone(),
        uid: guest.metadata.uid.clone(),
        finalizers: Some(vec![FINALIZER.to_owned()]),
        ..ObjectMeta::default()
    };
    // Actions are another controller's field: whoever applies it owns it.
    Guest {
        metadata,
        spec: GuestSpec {
            action: None,
            ..spec
        },
        status: None,
    }
}

/// The NoCloud seed of a guest. Made once, when the server is bound: guests read it at their first boot only.
pub fn seed(server: &Server, resolved: &Resolved, binding: &Binding, nics: &[Nic]) -> Secret {
    let uid = server.uid().unwrap_or_default();
    let meta_data = cloud_init::meta_data(&SeedRequest {
        instance_id: &uid,
        hostname: &hostname(server),
        public_keys: &resolved.public_keys,
    });
    let user_data = match &resolved.user_data {
        UserDataFound::Bytes(bytes) => bytes.clone(),
        UserDataFound::None | UserDataFound::NoSecret | UserDataFound::NoKey => {
            cloud_init::DEFAULT_USER_DATA.as_bytes().to_vec()
        }
    };
    let mut documents = BTreeMap::from([
        (
            SEED_META_DATA.to_owned(),
            ByteString(meta_data.into_bytes()),
        ),
        (SEED_USER_DATA.to_owned(), ByteString(user_data)),
    ]);
    if let Some(config) = cloud_init::network_config(nics) {
        documents.insert(
            SEED_NETWORK_CONFIG.to_owned(),
            ByteString(config.into_bytes()),
        );
    }
    Secret {
        metadata: ObjectMeta {
            name: Some(uid),
            namespace: Some(node_namespace(&binding.node)),
            ..ObjectMeta::default()
        },
        type_: Some("kilonova.dev/seed".to_owned()),
        immutable: Some(true),
        data: Some(documents),
        ..Secret::default()
    }
}

/// What the guest calls itself. A server's name may have longer labels than a host's (RFC 1123, section 2.1), which
/// are cut, as in Nova.
fn hostname(server: &Server) -> String {
    if let Some(hostname) = &server.spec.hostname {
        return hostname.clone();
    }
    let name = server.name_any();
    let labels = name.split('.').map(|label| {
        let cut: String = label.chars().take(HOST_LABEL_MAX).collect();
        cut.trim_end_matches('-').to_owned()
    });
    labels.collect::<Vec<_>>().join(".")
}

fn metadata_tokens(server: &Server) -> MetadataTokens {
    let service = server.spec.metadata_service.as_ref();
    service.map(|service| service.tokens).unwrap_or_default()
}

fn grace_seconds(server: &Server) -> u32 {
    let grace = server
        .spec
        .shutdown
        .as_ref()
        .map_or(DEFAULT_GRACE, |shutdown| shutdown.grace.into());
    u32::try_from(grace.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
