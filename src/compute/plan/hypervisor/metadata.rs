//! What the metadata service of a node is given: an account that reads guests and seeds, and changes nothing.

use k8s_openapi::api::{
    core::v1::ServiceAccount,
    rbac::v1::{Role, RoleBinding, Subject},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use super::{
    PodAccount, login, meta,
    rights::{METADATA_REASONS, metadata_rules, role_ref},
};

/// The `ServiceAccount` of the metadata service, in its node's namespace.
pub const METADATA_ACCOUNT: &str = "metadata";

/// What lets one node's metadata service do its work, and nothing else.
#[derive(Debug, Serialize)]
pub struct MetadataOutfit {
    /// Who it is.
    pub account: ServiceAccount,
    /// What it may do in the node's namespace.
    pub role: Role,
    /// That it may.
    pub binding: RoleBinding,
    /// That the account of its pod may have tokens of this one, if it runs in a pod.
    pub login: Option<RoleBinding>,
}

/// What the metadata service of the node with this namespace needs.
pub(super) fn outfit(namespace: &str, pod_account: Option<&PodAccount>) -> MetadataOutfit {
    let named = || meta(METADATA_ACCOUNT, Some(namespace));
    MetadataOutfit {
        account: ServiceAccount {
            metadata: named(),
            ..ServiceAccount::default()
        },
        role: Role {
            metadata: ObjectMeta {
                annotations: Some(super::annotation(super::RARELY_USED, METADATA_REASONS)),
                ..named()
            },
            rules: Some(metadata_rules()),
        },
        binding: RoleBinding {
            metadata: named(),
            role_ref: role_ref("Role", METADATA_ACCOUNT),
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name: METADATA_ACCOUNT.to_owned(),
                namespace: Some(namespace.to_owned()),
                api_group: None,
            }]),
        },
        login: pod_account.map(|account| login("metadata", account, namespace)),
    }
}
