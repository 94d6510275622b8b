//! What the accounts of a node may do, each line with what it is for. A test compares it with what they were seen to do.

use k8s_openapi::api::rbac::v1::{PolicyRule, RoleRef};

use crate::api::GROUP;

/// Why a metadata service holds what it hardly ever uses.
pub(super) const METADATA_REASONS: &str = "\
get secrets: the seed of a guest that asks for its metadata
";

/// Why an agent holds what it hardly ever uses.
pub(super) const AGENT_REASONS: &str = "\
get guests.kilonova.dev: asked again before a domain is ended that no guest is known for
create leases.coordination.k8s.io: the API server wants it for the patch that makes the heartbeat
";

/// What an agent does in its namespace: reads guests and their seeds, reports on guests and lets go of them,
/// renews its heartbeat.
pub(super) fn agent_rules() -> Vec<PolicyRule> {
    vec![
        rule(GROUP, &["guests"], &["get", "list", "watch", "patch"], &[]),
        rule(GROUP, &["guests/status"], &["patch"], &[]),
        rule("", &["secrets"], &["get"], &[]),
        rule(
            "coordination.k8s.io",
            &["leases"],
            &["create", "patch"],
            &[],
        ),
    ]
}

/// What a metadata service does in its node's namespace: reads guests and their seeds.
pub(super) fn metadata_rules() -> Vec<PolicyRule> {
    vec![
        rule(GROUP, &["guests"], &["list", "watch"], &[]),
        rule("", &["secrets"], &["get"], &[]),
    ]
}

/// What an agent does outside of it: says how its own hypervisor stands.
pub(super) fn hypervisor_rules(name: &str) -> Vec<PolicyRule> {
    vec![
        rule(GROUP, &["hypervisors"], &["get"], &[name]),
        rule(GROUP, &["hypervisors/status"], &["patch"], &[name]),
    ]
}

fn rule(group: &str, resources: &[&str], verbs: &[&str], names: &[&str]) -> PolicyRule {
    let owned = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    PolicyRule {
        api_groups: Some(owned(&[group])),
        resources: Some(owned(resources)),
        resource_names: (!names.is_empty()).then(|| owned(names)),
        verbs: owned(verbs),
        non_resource_urls: None,
    }
}

pub(super) fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef {
        api_group: "rbac.authorization.k8s.io".to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}
