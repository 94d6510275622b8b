//! Whether a hypervisor can take servers, and what its agent may do.

use k8s_openapi::api::rbac::v1::PolicyRule;

use super::*;
use crate::{
    api::server::Resources,
    compute::plan::fixtures::{SMALL, at, condition as said},
};

const HINT: &str = "look at the agent on n1: is it running, and what does its log say";

fn hypervisor(
    capacity: Option<Resources>,
    conditions: Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>,
) -> Hypervisor {
    let mut hypervisor = Hypervisor::new("n1", HypervisorSpec::default());
    hypervisor.metadata.generation = Some(4);
    hypervisor.status = Some(HypervisorStatus {
        capacity,
        conditions,
        ..HypervisorStatus::default()
    });
    hypervisor
}

fn heard(seconds: u64) -> Observed {
    Observed {
        labelled: true,
        voice: Voice::Heard(Duration::from_secs(seconds)),
    }
}

/// Status, reason and message of `Ready`, which is all that the operator says.
fn ready(hypervisor: &Hypervisor, observed: Observed) -> (String, String, String) {
    let status = report(hypervisor, observed, at(100));
    assert_eq!(status.conditions.len(), 1);
    let ready = status.conditions[0].clone();
    assert_eq!(ready.type_, "Ready");
    (ready.status, ready.reason, ready.message)
}

#[test]
fn a_hypervisor_is_ready_when_its_agent_reports_and_libvirt_answers() {
    let well = hypervisor(
        Some(SMALL),
        vec![
            said("LibvirtReady", "True", "Answers", ""),
            said("KvmReady", "False", "NoDevice", "guests are emulated"),
            said("StorageReady", "True", "Usable", ""),
            said("OpenVswitchReady", "False", "NotFound", "there is none"),
        ],
    );
    let expected = (
        "True",
        "Heard",
        "its agent reports, libvirt answers, and disks can be made",
    );
    let (status, reason, message) = ready(&well, heard(0));
    assert_eq!((&*status, &*reason, &*message), expected);
    // Silence of less than ten heartbeats means nothing.
    assert_eq!(ready(&well, heard(19)).0, "True");
}

#[test]
fn each_trouble_is_told_with_where_to_look() {
    let well = || hypervisor(Some(SMALL), Vec::new());
    let unlabelled = Observed {
        labelled: false,
        ..heard(0)
    };
    let unheard = Observed {
        labelled: true,
        voice: Voice::Never,
    };
    let libvirt = said(
        "LibvirtReady",
        "False",
        "Unreachable",
        "libvirtd does not answer",
    );
    let unknown = said(
        "LibvirtReady",
        "Unknown",
        "NotAsked",
        "libvirtd was not asked yet",
    );
    for (hypervisor, observed, reason, message) in [
        (
            well(),
            unlabelled,
            "NotLabelled",
            "there is no node n1 with the label kilonova.dev/hypervisor=true: label it, or delete this hypervisor"
                .to_owned(),
        ),
        (well(), unheard, "NeverHeard", format!("its agent has not been heard of yet; {HINT}")),
        (
            well(),
            heard(20),
            "Silent",
            format!("its agent has not been heard of for more than 20 s; {HINT}"),
        ),
        (
            hypervisor(Some(SMALL), vec![libvirt]),
            heard(0),
            "LibvirtNotReady",
            "libvirtd does not answer".to_owned(),
        ),
        (
            hypervisor(
                Some(SMALL),
                vec![
                    said("LibvirtReady", "True", "Answers", ""),
                    said("StorageReady", "False", "ReadOnly", "it is mounted read-only"),
                ],
            ),
            heard(0),
            "StorageNotReady",
            "it is mounted read-only".to_owned(),
        ),
        (
            hypervisor(Some(SMALL), vec![unknown]),
            heard(0),
            "LibvirtNotReady",
            "libvirtd was not asked yet".to_owned(),
        ),
        (
            hypervisor(None, Vec::new()),
            heard(0),
            "NotReported",
            "its agent has not said what the host has yet".to_owned(),
        ),
    ] {
        let expected = ("False".to_owned(), reason.to_owned(), message);
        assert_eq!(ready(&hypervisor, observed), expected);
    }
}

#[test]
fn the_message_does_not_count_the_seconds() {
    let well = hypervisor(Some(SMALL), Vec::new());
    assert_eq!(ready(&well, heard(20)), ready(&well, heard(2000)));
}

/// Everything else in the status is the agent's, and applying it would take it over.
#[test]
fn the_operator_says_nothing_but_ready() {
    let well = hypervisor(
        Some(SMALL),
        vec![said("LibvirtReady", "True", "Answers", "")],
    );
    let status = report(&well, heard(0), at(100));
    let expected = HypervisorStatus {
        observed_generation: Some(4),
        conditions: status.conditions.clone(),
        ..HypervisorStatus::default()
    };
    assert_eq!(status, expected);
}

#[test]
fn equal_facts_make_an_equal_status_at_any_later_time() {
    let mut well = hypervisor(Some(SMALL), Vec::new());
    let first = report(&well, heard(0), at(100));
    well.status.as_mut().unwrap().conditions = first.conditions.clone();
    assert_eq!(report(&well, heard(3), at(900)), first);
}

fn node() -> Node {
    let mut node = Node::default();
    node.metadata.name = Some("n1".to_owned());
    node.metadata.labels = Some(BTreeMap::from([
        (HYPERVISOR_LABEL.to_owned(), "true".to_owned()),
        ("zone".to_owned(), "a".to_owned()),
    ]));
    node
}

#[test]
fn only_the_label_s_value_true_puts_a_node_in() {
    assert!(is_in(&node()));
    assert!(!is_in(&Node::default()));
    for value in ["false", "True", "yes", ""] {
        let mut node = node();
        let labels = node.metadata.labels.as_mut().unwrap();
        labels.insert(HYPERVISOR_LABEL.to_owned(), value.to_owned());
        assert!(!is_in(&node), "{value:?}");
    }
}

/// Group, resource, names and verbs of each rule: this is the whole of an agent's power.
#[test]
fn an_agent_may_do_its_work_and_nothing_else() {
    let outfit = outfit(&node(), &PodAccounts::default());
    let lines = |rules: Option<Vec<PolicyRule>>| -> Vec<String> {
        let line = |rule: PolicyRule| {
            assert_eq!(rule.non_resource_urls, None);
            let groups = rule.api_groups.unwrap_or_default().join(",");
            let resources = rule.resources.unwrap_or_default().join(",");
            let names = rule.resource_names.unwrap_or_default().join(",");
            format!("{groups}/{resources} [{names}] {}", rule.verbs.join(" "))
        };
        rules.unwrap_or_default().into_iter().map(line).collect()
    };
    assert_eq!(
        lines(outfit.role.rules),
        [
            "kilonova.dev/guests [] get list watch patch",
            "kilonova.dev/guests/status [] patch",
            "/secrets [] get",
            "coordination.k8s.io/leases [] create patch",
        ]
    );
    assert_eq!(
        lines(outfit.cluster_role.rules),
        [
            "kilonova.dev/hypervisors [n1] get",
            "kilonova.dev/hypervisors/status [n1] patch",
        ]
    );
    // What speaks to guests may change nothing at all.
    assert_eq!(
        lines(outfit.metadata.role.rules),
        ["kilonova.dev/guests [] list watch", "/secrets [] get"]
    );
}

#[test]
fn the_rights_are_one_account_s_in_one_namespace() {
    let outfit = outfit(&node(), &PodAccounts::default());
    let namespace = "kilonova-node-n1";
    for metadata in [
        &outfit.account.metadata,
        &outfit.role.metadata,
        &outfit.binding.metadata,
    ] {
        assert_eq!(metadata.namespace.as_deref(), Some(namespace));
        assert_eq!(metadata.name.as_deref(), Some(AGENT_ACCOUNT));
    }
    assert_eq!(outfit.namespace.metadata.name.as_deref(), Some(namespace));
    for (role, subjects) in [
        (outfit.binding.role_ref, outfit.binding.subjects),
        (
            outfit.cluster_binding.role_ref,
            outfit.cluster_binding.subjects,
        ),
    ] {
        let subjects = subjects.unwrap();
        assert_eq!(subjects.len(), 1, "{}", role.name);
        assert_eq!(subjects[0].kind, "ServiceAccount");
        assert_eq!(subjects[0].namespace.as_deref(), Some(namespace));
    }
    assert_eq!(
        outfit.cluster_role.metadata.name.as_deref(),
        Some("kilonova:node:n1")
    );
}

/// The one right of the account of the agents' pods is given node by node, and an upgrade that gives it is noticed.
#[test]
fn the_account_of_pods_may_become_that_of_the_node() {
    let account = |name: String| PodAccount {
        name,
        namespace: "kilonova-system".to_owned(),
    };
    let pods = |name: &str| PodAccounts {
        agent: Some(account(format!("{name}-agent"))),
        metadata: Some(account(format!("{name}-metadata"))),
    };
    let without = outfit(&node(), &PodAccounts::default());
    assert_eq!(without.login, None);
    let with = outfit(&node(), &pods("kilonova"));
    let expected = serde_json::json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {
            "name": "agent-login:kilonova-agent",
            "namespace": "kilonova-node-n1",
            "labels": { "app.kubernetes.io/managed-by": "kilonova" },
        },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "kilonova-agent",
        },
        "subjects": [
            { "kind": "ServiceAccount", "name": "kilonova-agent", "namespace": "kilonova-system" },
        ],
    });
    assert_eq!(serde_json::to_value(&with.login).unwrap(), expected);
    let of_metadata = expected.to_string().replace("agent", "metadata");
    let of_metadata: serde_json::Value = serde_json::from_str(&of_metadata).unwrap();
    assert_eq!(
        serde_json::to_value(&with.metadata.login).unwrap(),
        of_metadata
    );
    let renamed = outfit(&node(), &pods("blue"));
    assert_eq!(with.missing(Some(&without.hypervisor)), Missing::Rights);
    assert_eq!(renamed.missing(Some(&with.hypervisor)), Missing::Rights);
    assert_eq!(with.missing(Some(&with.hypervisor)), Missing::Nothing);
}

/// Node selectors mean what they say, because a hypervisor carries its node's labels.
#[test]
fn a_hypervisor_carries_its_node_s_name_and_labels() {
    let hypervisor = outfit(&node(), &PodAccounts::default()).hypervisor;
    assert_eq!(hypervisor.metadata.name.as_deref(), Some("n1"));
    assert_eq!(hypervisor.metadata.labels, node().metadata.labels);
    assert!(hypervisor.spec.schedulable);
    assert_eq!(hypervisor.status, None);
}

/// An upgrade that wants other rights gives them; one that does not writes nothing.
#[test]
fn a_node_is_fitted_out_again_when_its_outfit_is_another() {
    let wanted = outfit(&node(), &PodAccounts::default());
    assert_eq!(wanted.missing(None), Missing::Everything);
    let known = wanted.hypervisor.clone();
    assert_eq!(wanted.missing(Some(&known)), Missing::Nothing);

    let mut moved = node();
    moved
        .metadata
        .labels
        .as_mut()
        .unwrap()
        .insert("zone".to_owned(), "b".to_owned());
    assert_eq!(
        outfit(&moved, &PodAccounts::default()).missing(Some(&known)),
        Missing::Labels
    );

    let mut newer = outfit(&node(), &PodAccounts::default());
    newer.role.rules.as_mut().unwrap().pop();
    assert_ne!(newer.digest(), wanted.digest());
    let mut older = known.clone();
    older
        .annotations_mut()
        .insert(OUTFIT.to_owned(), newer.digest());
    assert_eq!(wanted.missing(Some(&older)), Missing::Rights);
    older.metadata.annotations = None;
    assert_eq!(wanted.missing(Some(&older)), Missing::Rights);

    // Somebody may have deleted what nobody watches.
    let mut silent = known;
    let conditions = report(&silent, heard(20), at(100)).conditions;
    silent.status = Some(HypervisorStatus {
        conditions,
        ..HypervisorStatus::default()
    });
    assert_eq!(wanted.missing(Some(&silent)), Missing::Rights);
}

/// An operator that has just started has heard of nobody: a host that was silent stays so until it speaks, and one
/// that was well is given the time in which any host would be heard of.
#[test]
fn what_was_known_holds_until_the_operator_has_listened_long_enough() {
    let unconfirmed = |seconds| Observed {
        labelled: true,
        voice: Voice::Unconfirmed(Duration::from_secs(seconds)),
    };
    for (before, expected) in [
        (heard(0), "Heard"),
        (heard(20), "Silent"),
        (
            Observed {
                labelled: true,
                voice: Voice::Never,
            },
            "NeverHeard",
        ),
    ] {
        let mut known = hypervisor(Some(SMALL), Vec::new());
        let status = known.status.as_mut().unwrap();
        status.conditions =
            report(&hypervisor(Some(SMALL), Vec::new()), before, at(100)).conditions;
        assert_eq!(ready(&known, unconfirmed(19)).1, expected);
        assert_eq!(ready(&known, unconfirmed(20)).1, "Silent");
        let silent = node_voice(&known) == NodeVoice::Silent;
        assert_eq!(silent, expected == "Silent");
    }
    // Nothing was known.
    let new = hypervisor(Some(SMALL), Vec::new());
    assert_eq!(ready(&new, unconfirmed(1)).1, "NeverHeard");
}

#[test]
fn what_is_said_already_is_not_said_again() {
    let mut well = hypervisor(Some(SMALL), Vec::new());
    let wanted = report(&well, heard(0), at(100));
    assert!(!is_said(&well, &wanted));
    let status = well.status.as_mut().unwrap();
    status.conditions.clone_from(&wanted.conditions);
    assert!(!is_said(&well, &wanted), "the generation is not");
    well.status.as_mut().unwrap().observed_generation = Some(4);
    assert!(is_said(&well, &wanted));
}
