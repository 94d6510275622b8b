//! What a labelled node needs to be a hypervisor, and whether one can take servers.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        core::v1::{Namespace, Node, ServiceAccount},
        rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding, Subject},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;

use crate::api::{
    HYPERVISOR_LABEL,
    condition::{self, Fact, Truth},
    hypervisor::{Hypervisor, HypervisorSpec, HypervisorStatus},
    node_namespace,
    value::Sha256,
};

use super::server::NodeVoice;
pub use metadata::{METADATA_ACCOUNT, MetadataOutfit};
use rights::{AGENT_REASONS, agent_rules, hypervisor_rules, role_ref};

mod metadata;
mod rights;

/// How long a node may be silent before it counts as lost: ten heartbeats.
pub const SILENCE_MAX: Duration = Duration::from_secs(20);

/// The ServiceAccount of an agent, in its node's namespace.
pub const AGENT_ACCOUNT: &str = "node";

/// Which outfit a hypervisor's agent was given: another one is due when an upgrade wants other rights.
pub const OUTFIT: &str = "kilonova.dev/outfit";

/// Whose a node's namespace is, in full: its own name may be a short form. The chart's policy for tokens of agents goes
/// by it.
pub const NODE: &str = "kilonova.dev/node";

/// Why a role holds what is hardly ever used, a line for each: `<verb> <resource>[.<group>][/<subresource>]: <reason>`.
pub const RARELY_USED: &str = "kilonova.dev/rarely-used";

/// The label of everything that the operator makes.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "kilonova");

/// Whether an administrator has put the node in.
pub fn is_in(node: &Node) -> bool {
    node.labels()
        .get(HYPERVISOR_LABEL)
        .is_some_and(|value| value == "true")
}

/// Everything that lets one node's agent do its work, and nothing else.
#[derive(Debug)]
pub struct Outfit {
    /// Holds the node's guests, their seeds and its heartbeat.
    pub namespace: Namespace,
    /// Who the agent is.
    pub account: ServiceAccount,
    /// What it may do in that namespace.
    pub role: Role,
    /// That it may.
    pub binding: RoleBinding,
    /// What it may do outside of it: say how its own hypervisor stands.
    pub cluster_role: ClusterRole,
    /// That it may.
    pub cluster_binding: ClusterRoleBinding,
    /// That the account of the agent's pod may have tokens of this one, if agents run in pods.
    pub login: Option<RoleBinding>,
    /// Who the metadata service is, which speaks to guests and may therefore do less.
    pub metadata: MetadataOutfit,
    /// The node as administrators see it.
    pub hypervisor: Hypervisor,
}

/// The accounts that pods on nodes run as, if there are such pods.
#[derive(Clone, Debug, Default)]
pub struct PodAccounts {
    /// Of agents.
    pub agent: Option<PodAccount>,
    /// Of metadata services.
    pub metadata: Option<PodAccount>,
}

/// An account that pods run as. It can do nothing but become an account of its node.
#[derive(Clone, Debug)]
pub struct PodAccount {
    /// Its name, and that of the `ClusterRole` that lets it have tokens.
    pub name: String,
    /// Where it is.
    pub namespace: String,
}

/// What the node needs.
pub fn outfit(node: &Node, pods: &PodAccounts) -> Outfit {
    let name = node.name_any();
    let namespace = node_namespace(&name);
    let account = Subject {
        kind: "ServiceAccount".to_owned(),
        name: AGENT_ACCOUNT.to_owned(),
        namespace: Some(namespace.clone()),
        api_group: None,
    };
    let cluster_name = format!("kilonova:node:{name}");
    let mut outfit = Outfit {
        namespace: Namespace {
            metadata: ObjectMeta {
                annotations: Some(annotation(NODE, &name)),
                ..meta(&namespace, None)
            },
            ..Namespace::default()
        },
        account: ServiceAccount {
            metadata: meta(AGENT_ACCOUNT, Some(&namespace)),
            ..ServiceAccount::default()
        },
        role: Role {
            metadata: ObjectMeta {
                annotations: Some(annotation(RARELY_USED, AGENT_REASONS)),
                ..meta(AGENT_ACCOUNT, Some(&namespace))
            },
            rules: Some(agent_rules()),
        },
        binding: RoleBinding {
            metadata: meta(AGENT_ACCOUNT, Some(&namespace)),
            role_ref: role_ref("Role", AGENT_ACCOUNT),
            subjects: Some(vec![account.clone()]),
        },
        cluster_role: ClusterRole {
            metadata: meta(&cluster_name, None),
            rules: Some(hypervisor_rules(&name)),
            ..ClusterRole::default()
        },
        cluster_binding: ClusterRoleBinding {
            metadata: meta(&cluster_name, None),
            role_ref: role_ref("ClusterRole", &cluster_name),
            subjects: Some(vec![account]),
        },
        login: pods
            .agent
            .as_ref()
            .map(|account| login("agent", account, &namespace)),
        metadata: metadata::outfit(&namespace, pods.metadata.as_ref()),
        hypervisor: hypervisor(node),
    };
    let digest = outfit.digest();
    outfit.hypervisor.metadata.annotations = Some(annotation(OUTFIT, &digest));
    outfit
}

impl Outfit {
    /// Changes when anything changes that lets the agent work.
    fn digest(&self) -> String {
        let all = serde_json::json!([
            self.namespace,
            self.account,
            self.role,
            self.binding,
            self.cluster_role,
            self.cluster_binding,
            self.login,
            self.metadata,
        ]);
        let digest = Sha256::of(all.to_string());
        digest.as_str()[..16].to_owned()
    }

    /// What has to be written for a node whose hypervisor is known so.
    pub fn missing(&self, known: Option<&Hypervisor>) -> Missing {
        let Some(known) = known else {
            return Missing::Everything;
        };
        let wanted = &self.hypervisor;
        let is_silent = node_voice(known) == NodeVoice::Silent;
        if is_silent || known.annotations().get(OUTFIT) != wanted.annotations().get(OUTFIT) {
            Missing::Rights
        } else if known.labels() == wanted.labels() {
            Missing::Nothing
        } else {
            Missing::Labels
        }
    }
}

/// What of its outfit a node has not got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It has all. The kubelet touches its Node every few minutes, and only labels matter.
    Nothing,
    /// The labels of the node have changed.
    Labels,
    /// It was fitted out by another version, or by hand; or its agent is silent, as it is when somebody has deleted its
    /// namespace or its account, which nobody watches.
    Rights,
    /// It is new.
    Everything,
}

/// Named after the role, since a binding cannot change its role: that of an installation of another name stays, for an
/// account and a role that are gone.
fn login(role: &str, account: &PodAccount, namespace: &str) -> RoleBinding {
    RoleBinding {
        metadata: meta(&format!("{role}-login:{}", account.name), Some(namespace)),
        role_ref: role_ref("ClusterRole", &account.name),
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: account.name.clone(),
            namespace: Some(account.namespace.clone()),
            api_group: None,
        }]),
    }
}

/// The hypervisor carries its node's labels, so that node selectors mean what they say. Its spec is left to
/// administrators: see the controller, which makes it once and applies the labels only.
fn hypervisor(node: &Node) -> Hypervisor {
    let metadata = ObjectMeta {
        labels: Some(node.labels().clone()),
        ..meta(&node.name_any(), None)
    };
    let spec = HypervisorSpec {
        schedulable: true,
        ..HypervisorSpec::default()
    };
    Hypervisor {
        metadata,
        spec,
        status: None,
    }
}

fn annotation(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

fn meta(name: &str, namespace: Option<&str>) -> ObjectMeta {
    let (key, value) = MANAGED_BY;
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace.map(str::to_owned),
        labels: Some(BTreeMap::from([(key.to_owned(), value.to_owned())])),
        ..ObjectMeta::default()
    }
}

/// What was read of a hypervisor from elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Observed {
    /// Whether its Kubernetes node is there and labelled.
    pub labelled: bool,
    /// What is heard of it.
    pub voice: Voice,
}

/// What is heard of a node, by the operator's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// It has no heartbeat.
    Never,
    /// Its heartbeat is there, and has not changed for so long since the operator began to listen.
    Unconfirmed(Duration),
    /// Its heartbeat changed so long ago.
    Heard(Duration),
}

/// The node whose heartbeat this is; none, if it lies where others than the node could have put it.
pub fn heartbeat_of(lease: &Lease) -> Option<&str> {
    let node = lease.metadata.name.as_deref()?;
    let at_home = lease.metadata.namespace.as_deref() == Some(&*node_namespace(node));
    at_home.then_some(node)
}

/// Whether what runs on the hypervisor can be known, as its condition `Ready` tells.
pub fn node_voice(hypervisor: &Hypervisor) -> NodeVoice {
    match said_of_ready(hypervisor) {
        Some(SILENT) => NodeVoice::Silent,
        Some(_) | None => NodeVoice::Heard,
    }
}

fn said_of_ready(hypervisor: &Hypervisor) -> Option<&str> {
    let conditions = &hypervisor.status.as_ref()?.conditions;
    Some(&condition::find(conditions, "Ready")?.reason)
}

const NEVER_HEARD: &str = "NeverHeard";
const SILENT: &str = "Silent";

/// How the hypervisor stands, as the operator sees it: the condition `Ready` is all that it says.
pub fn report(hypervisor: &Hypervisor, observed: Observed, now: Timestamp) -> HypervisorStatus {
    let name = hypervisor.name_any();
    let before = hypervisor.status.clone().unwrap_or_default();
    let hint = format!("look at the agent on {name}: is it running, and what does its log say");
    let agents = |kind| {
        condition::find(&before.conditions, kind).filter(|said| said.status != Truth::True.as_str())
    };
    // The agent's other conditions are for information: servers run without KVM, and without networks.
    let needed = || {
        [
            ("LibvirtReady", "LibvirtNotReady"),
            ("StorageReady", "StorageNotReady"),
        ]
        .into_iter()
        .find_map(|(kind, reason)| Some((reason, agents(kind)?)))
    };
    let never = || {
        let message = format!("its agent has not been heard of yet; {hint}");
        Fact::no("Ready", NEVER_HEARD, message)
    };
    let silent = || {
        let longest = SILENCE_MAX.as_secs();
        let message = format!("its agent has not been heard of for more than {longest} s; {hint}");
        Fact::no("Ready", SILENT, message)
    };
    let fact = match (observed.voice, said_of_ready(hypervisor)) {
        _ if !observed.labelled => Fact::no(
            "Ready",
            "NotLabelled",
            format!(
                "there is no node {name} with the label {HYPERVISOR_LABEL}=true: label it, or delete this hypervisor"
            ),
        ),
        (Voice::Heard(past) | Voice::Unconfirmed(past), _) if past >= SILENCE_MAX => silent(),
        // An operator that has just begun to listen takes over what was known.
        (Voice::Unconfirmed(_), Some(SILENT)) => silent(),
        (Voice::Never, _) | (Voice::Unconfirmed(_), Some(NEVER_HEARD | "NotLabelled") | None) => {
            never()
        }
        (Voice::Heard(_) | Voice::Unconfirmed(_), _) => match needed() {
            Some((reason, said)) => Fact::no("Ready", reason, said.message.clone()),
            None if before.capacity.is_none() => Fact::no(
                "Ready",
                "NotReported",
                "its agent has not said what the host has yet",
            ),
            None => Fact::yes(
                "Ready",
                "Heard",
                "its agent reports, libvirt answers, and disks can be made",
            ),
        },
    };
    let ready = condition::merge(
        &before.conditions,
        vec![fact],
        hypervisor.metadata.generation,
        now,
    );
    HypervisorStatus {
        observed_generation: hypervisor.metadata.generation,
        conditions: ready,
        ..HypervisorStatus::default()
    }
}

/// Whether the status says this already. The rest of it is the agent's.
pub fn is_said(hypervisor: &Hypervisor, wanted: &HypervisorStatus) -> bool {
    let said = hypervisor.status.as_ref();
    said.is_some_and(|said| {
        said.observed_generation == wanted.observed_generation
            && condition::find(&said.conditions, "Ready") == wanted.conditions.first()
    })
}

#[cfg(test)]
mod tests;
