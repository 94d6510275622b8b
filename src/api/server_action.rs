//! `ServerAction`: something done to a server once, and the record of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{rule, value::wordless};

/// Something done to a server once. Stays as the server's history until it expires.
///
/// At most once: an action whose outcome is not known, because the node's agent died in the middle of it, is
/// reported as failed and never repeated.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kilonova.dev",
    version = "v1alpha1",
    kind = "ServerAction",
    namespaced,
    status = "ServerActionStatus",
    category = "kilonova",
    shortname = "kaction",
    doc = "Something done to a server once. Stays as the server's history until it expires.",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Server", type_ = "string", json_path = ".spec.server"),
    printcolumn(name = "Verb", type_ = "string", json_path = ".status.verb"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.message",
        priority = 1
    )
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("an action cannot be changed: make another one"))]
#[x_kube(validation = Rule::new("(has(self.reboot) ? 1 : 0) + (has(self.reset) ? 1 : 0) + (has(self.nmi) ? 1 : 0) == 1").message("an action has exactly one verb: reboot, reset or nmi"))]
#[serde(rename_all = "camelCase")]
pub struct ServerActionSpec {
    /// The name of the Server, in the same project.
    #[schemars(length(max = 253))]
    #[x_kube(validation = rule::name("server must be the name of a Server of this project"))]
    pub server: String,
    /// Reboot the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot: Option<Reboot>,
    /// Press the reset button: the guest starts over at once, without a chance to write anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<Reset>,
    /// Send a non-maskable interrupt, which makes most guests write a crash dump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nmi: Option<Nmi>,
    /// How long the record is kept once the action has ended, `0s` to `8760h`. Default: `720h` (30 days).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::server::duration_schema")]
    #[x_kube(validation = rule::duration("ttlAfterFinished", "8760h", "720h"))]
    pub ttl_after_finished: Option<Duration>,
}

/// How to reboot.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Reboot {
    /// `Soft` asks the guest, and becomes hard when it has not answered in the server's `shutdown.grace`; `Hard`
    /// cuts it off and starts it again.
    #[serde(rename = "type")]
    pub kind: RebootKind,
}

/// How to reboot.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebootKind {
    /// Ask the guest.
    Soft,
    /// Cut it off and start it again.
    Hard,
}

/// Press the reset button. Takes no options.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct Reset {}

/// Send a non-maskable interrupt. Takes no options.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct Nmi {}

/// What is done to a guest.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[schemars(transform = wordless)]
pub enum Verb {
    /// Ask the guest to reboot.
    SoftReboot,
    /// Cut the guest off and start it again.
    HardReboot,
    /// Press the reset button.
    Reset,
    /// Send a non-maskable interrupt.
    Nmi,
}

impl ServerActionSpec {
    /// The verb, if exactly one was given, as the schema demands.
    pub fn verb(&self) -> Option<Verb> {
        match (&self.reboot, &self.reset, &self.nmi) {
            (
                Some(Reboot {
                    kind: RebootKind::Soft,
                }),
                None,
                None,
            ) => Some(Verb::SoftReboot),
            (
                Some(Reboot {
                    kind: RebootKind::Hard,
                }),
                None,
                None,
            ) => Some(Verb::HardReboot),
            (None, Some(Reset {}), None) => Some(Verb::Reset),
            (None, None, Some(Nmi {})) => Some(Verb::Nmi),
            _ => None,
        }
    }
}

/// What became of an action.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ServerActionStatus {
    /// Where the action stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ActionState>,
    /// What is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<Verb>,
    /// When the hypervisor began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// How it ended, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: it was done. `Stalled`: it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Where an action stands.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(transform = wordless)]
pub enum ActionState {
    /// Not begun.
    Pending,
    /// Under way.
    Running,
    /// Done.
    Succeeded,
    /// Not done, or not known to be done.
    Failed,
}

impl ActionState {
    /// Whether the action has ended.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}
