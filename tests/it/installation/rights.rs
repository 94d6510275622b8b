//! Nobody may do more than it does: whatever is granted to operator, agents and nodes is used in a run through all that
//! servers can do, or carries its reason; and nothing that they tried was forbidden.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use kilonova::api::key_pair::{KeyPair, KeyPairSpec};
use kilonova::api::server::{PowerState, ServerState, UserData};
use kilonova::api::server_action::RebootKind;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use testbed::audit::{ObjectRef, Request};
use testbed::{Helm, Release, Seen, Testbed, wait_for};

use crate::actions::reboot;
use crate::shared::{Project, SOON};

use super::turn;

/// Why something is granted that such a run does not need: `<verb> <resource>[.<group>][/<subresource>]: <reason>`.
const REASONS: &str = "kilonova.dev/rarely-used";
const FORBIDDEN: u16 = 403;
/// A public key; nobody has the private one.
const PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIgnFHDnuW9pwLfT4mWWe9hGE3fPYhJIhYIGoKgkPVOX someone";

/// One thing that somebody may do to one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    verb: String,
    group: String,
    /// With its subresource.
    resource: String,
    /// To which objects; empty for all.
    names: Vec<String>,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, sub) = self
            .resource
            .split_once('/')
            .unwrap_or((&self.resource, ""));
        write!(f, "{} {kind}", self.verb)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !sub.is_empty() {
            write!(f, "/{sub}")?;
        }
        Ok(())
    }
}

impl Right {
    fn covers(&self, verb: &str, object: &ObjectRef) -> bool {
        let resource = match object.subresource.as_str() {
            "" => object.resource.clone(),
            sub => format!("{}/{sub}", object.resource),
        };
        self.verb == verb
            && self.group == object.api_group
            && self.resource == resource
            && (self.names.is_empty() || self.names.contains(&object.name))
    }
}

/// A role that one of our accounts has.
#[derive(Debug)]
struct Granted {
    role: String,
    accounts: BTreeSet<String>,
    rights: BTreeSet<Right>,
    reasons: BTreeMap<String, String>,
}

#[tokio::test]
async fn what_is_granted_is_used_or_has_its_reason() -> Result<()> {
    let (_turn, project) = turn().await?;
    run_through_everything(&project).await?;
    let testbed = project.testbed;
    let requests = testbed.audit_log()?;
    let granted = granted(&project.client).await?;
    let roles: Vec<&str> = granted
        .iter()
        .map(|granted| granted.role.as_str())
        .collect();
    ensure!(
        roles.len() >= 7,
        "of operator, agents and two nodes: {roles:?}"
    );
    let mut faults: BTreeSet<String> = BTreeSet::new();
    for granted in &granted {
        faults.extend(faults_of(granted, &requests));
    }
    faults.extend(forbidden(&requests));
    let faults: Vec<String> = faults.into_iter().collect();
    ensure!(faults.is_empty(), "\n{}", faults.join("\n"));
    Ok(())
}

fn faults_of(granted: &Granted, requests: &[Request]) -> Vec<String> {
    let Granted {
        role,
        accounts,
        rights,
        reasons,
    } = granted;
    let used = |right: &Right| {
        requests.iter().any(|request| {
            let object = request.object_ref.as_ref();
            accounts.contains(&request.user.username)
                && object.is_some_and(|object| right.covers(&request.verb, object))
        })
    };
    let wild = rights
        .iter()
        .filter(|right| right.verb == "*" || right.resource == "*" || right.group == "*")
        .map(|right| format!("{role}: `{right}` is no list of what is used"));
    let unused = rights
        .iter()
        .filter(|right| !reasons.contains_key(&right.to_string()) && !used(right))
        .map(|right| {
            format!("{role}: `{right}` is granted, was never used, and {REASONS} gives no reason")
        });
    let stale = reasons
        .iter()
        .filter(|(named, _)| !rights.iter().any(|right| right.to_string() == **named))
        .map(|(named, _)| format!("{role}: {REASONS} explains `{named}`, which is not granted"));
    let empty = reasons
        .iter()
        .filter(|(_, reason)| reason.split_whitespace().count() < 3)
        .map(|(named, reason)| format!("{role}: {reason:?} is no reason for `{named}`"));
    wild.chain(unused).chain(stale).chain(empty).collect()
}

/// What one of ours tried and was not allowed, then or ever after: an agent that is early knocks until it is let in.
fn forbidden(requests: &[Request]) -> impl Iterator<Item = String> {
    let same = |one: &Request, other: &Request| {
        one.user.username == other.user.username
            && one.verb == other.verb
            && one.object_ref == other.object_ref
    };
    let refused = requests.iter().filter(move |request| {
        request.response_status.code == FORBIDDEN
            && request.user.username.starts_with("system:serviceaccount:kilonova-")
            // Nothing can be made in a namespace that goes: events of a test's last server.
            && request.object_ref.as_ref().is_none_or(|object| object.resource != "events")
            && !requests.iter().any(|other| {
                same(request, other) && (200..300).contains(&other.response_status.code)
            })
    });
    refused.map(|request| {
        format!(
            "{} was forbidden to {} {:?}",
            request.user.username, request.verb, request.object_ref
        )
    })
}

/// A server with all that one can have, everything that can be done to it, and its end.
async fn run_through_everything(project: &Project<'_>) -> Result<()> {
    let key = KeyPairSpec {
        public_key: PUBLIC_KEY.to_owned(),
    };
    project.create(&KeyPair::new("someone", key)).await?;
    project
        .secret("data", "script", b"#!/bin/sh\ntrue\n")
        .await?;
    // Nodes have equal rights, and each is to use them.
    for node in project.testbed.nodes()? {
        let hostname = ("kubernetes.io/hostname".to_owned(), node.name().to_owned());
        let (guest, _) = project
            .boot(node.name(), |spec| {
                let node_selector = [hostname].into();
                spec.placement = Some(kilonova::api::server::Placement { node_selector });
            })
            .await?;
        project.delete_all_of(node.name(), &guest).await?;
    }
    let (guest, _) = project
        .boot("web", |spec| {
            spec.key_pairs = vec!["someone".to_owned()];
            spec.user_data = Some(UserData {
                inline: None,
                secret: Some(kilonova::api::server::SecretKey {
                    name: "data".to_owned(),
                    key: "script".to_owned(),
                }),
            });
        })
        .await?;
    let again = reboot("again", "web", RebootKind::Hard);
    project.create(&again).await?;
    guest.wait_up(2).await?;
    for (power, state) in [
        (PowerState::Paused, ServerState::Paused),
        (PowerState::Running, ServerState::Active),
        (PowerState::Stopped, ServerState::Shutoff),
    ] {
        project.power("web", power).await?;
        project.wait_state("web", state).await?;
    }
    Release::of(project.testbed, Helm::V4).await?.test().await?;
    restart_programs(project.testbed).await?;
    project.delete_all_of("web", &guest).await
}

/// Whoever starts reads everything anew.
async fn restart_programs(testbed: &Testbed) -> Result<()> {
    let before = testbed.programs().await?;
    for pod in testbed.agent_pods().await? {
        pod.kill9().await?;
    }
    for pod in testbed.metadata_pods().await? {
        pod.kill9().await?;
    }
    for pod in testbed.operator_pods().await? {
        pod.kill9().await?;
    }
    wait_for("all programs to run again", SOON * 2, async || {
        let now = testbed.programs().await.unwrap_or_default();
        let renewed = now.len() == before.len()
            && now
                .iter()
                .all(|now| before.iter().all(|before| before.process != now.process));
        Ok(Seen::when(renewed, format!("{now:?}")))
    })
    .await
}

/// All roles that accounts of ours have.
async fn granted(client: &Client) -> Result<Vec<Granted>> {
    let everything = ListParams::default();
    let mut roles: BTreeMap<String, Granted> = BTreeMap::new();
    let mut bind = |namespace: Option<&str>, role: RoleRef, subjects: Option<Vec<Subject>>| {
        let ours: Vec<String> = subjects.into_iter().flatten().filter_map(account).collect();
        if !ours.is_empty() {
            let scope = match namespace {
                Some(namespace) if role.kind == "Role" => format!("{namespace}/"),
                Some(_) | None => String::new(),
            };
            let name = format!("{} {scope}{}", role.kind, role.name);
            let granted = roles.entry(name.clone()).or_insert_with(|| Granted {
                role: name,
                accounts: BTreeSet::new(),
                rights: BTreeSet::new(),
                reasons: BTreeMap::new(),
            });
            granted.accounts.extend(ours);
        }
    };
    for binding in Api::<ClusterRoleBinding>::all(client.clone())
        .list(&everything)
        .await?
    {
        bind(None, binding.role_ref, binding.subjects);
    }
    for binding in Api::<RoleBinding>::all(client.clone())
        .list(&everything)
        .await?
    {
        let namespace = binding.metadata.namespace;
        bind(namespace.as_deref(), binding.role_ref, binding.subjects);
    }
    for (name, granted) in &mut roles {
        let (kind, name) = name.split_once(' ').context("no kind")?;
        let found: ClusterRole = if kind == "ClusterRole" {
            Api::all(client.clone()).get(name).await?
        } else {
            let (namespace, name) = name.split_once('/').context("no namespace")?;
            let role: Role = Api::namespaced(client.clone(), namespace).get(name).await?;
            ClusterRole {
                metadata: role.metadata,
                rules: role.rules,
                aggregation_rule: None,
            }
        };
        granted.rights = found.rules.iter().flatten().flat_map(rights).collect();
        let text = found.annotations().get(REASONS).map_or("", String::as_str);
        granted.reasons = reasons(text)?;
    }
    Ok(roles.into_values().collect())
}

fn account(subject: Subject) -> Option<String> {
    let namespace = subject.namespace?;
    let ours = subject.kind == "ServiceAccount" && namespace.starts_with("kilonova-");
    ours.then(|| format!("system:serviceaccount:{namespace}:{}", subject.name))
}

fn rights(rule: &PolicyRule) -> Vec<Right> {
    let mut rights = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            for verb in &rule.verbs {
                rights.push(Right {
                    verb: verb.clone(),
                    group: group.clone(),
                    resource: resource.clone(),
                    names: rule.resource_names.clone().unwrap_or_default(),
                });
            }
        }
    }
    rights
}

fn reasons(text: &str) -> Result<BTreeMap<String, String>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let parse = |line: &str| {
        let (right, reason) = line
            .split_once(": ")
            .with_context(|| format!("{line:?} gives no reason"))?;
        Ok((right.trim().to_owned(), reason.trim().to_owned()))
    };
    lines.map(parse).collect()
}
