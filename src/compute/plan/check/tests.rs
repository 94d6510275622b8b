use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinitionCondition, CustomResourceDefinitionStatus,
};
use serde_json::{Value, json};

use crate::api;

use super::*;

fn server() -> CustomResourceDefinition {
    let mut all = api::crds().unwrap().into_iter();
    all.find(|crd| crd.spec.names.kind == "Server").unwrap()
}

/// The kind with its schema changed.
fn with(change: impl Fn(&mut Value)) -> CustomResourceDefinition {
    let mut crd = serde_json::to_value(server()).unwrap();
    change(
        crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties")
            .unwrap(),
    );
    serde_json::from_value(crd).unwrap()
}

fn established(mut crd: CustomResourceDefinition, status: &str) -> CustomResourceDefinition {
    let condition = CustomResourceDefinitionCondition {
        type_: "Established".to_owned(),
        status: status.to_owned(),
        message: Some("another has the name".to_owned()),
        ..CustomResourceDefinitionCondition::default()
    };
    crd.status = Some(CustomResourceDefinitionStatus {
        conditions: Some(vec![condition]),
        ..CustomResourceDefinitionStatus::default()
    });
    crd
}

#[test]
fn a_kind_is_as_this_program_knows_it_or_it_is_told_how_not() {
    let older = with(|fields| {
        fields["spec"]["properties"]
            .as_object_mut()
            .unwrap()
            .remove("userData");
        let address = &mut fields["spec"]["properties"]["networks"]["items"]["properties"];
        address.as_object_mut().unwrap().clear();
    });
    let newer = with(|fields| fields["status"]["properties"]["mood"] = json!({ "type": "string" }));
    let mut unserved = server();
    unserved.spec.versions[0].served = false;
    let cases = [
        (Some(established(server(), "True")), Verdict::Good, ""),
        (None, Verdict::Bad, "servers.kilonova.dev is not there"),
        (
            Some(established(server(), "False")),
            Verdict::Bad,
            "is not Established: another has the name",
        ),
        (Some(unserved), Verdict::Bad, "is not served as v1alpha1"),
        (
            Some(older),
            Verdict::Bad,
            "is of an older version, without spec.networks[].",
        ),
        (
            Some(newer),
            Verdict::Warning,
            "is of a newer version, with status.mood",
        ),
    ];
    for (found, verdict, words) in cases {
        let finding = kinds(&[(server(), found)], "1.2.3");
        assert_eq!(finding.verdict, verdict, "{finding:?}");
        assert!(
            finding.details.iter().all(|detail| detail.contains(words)),
            "{finding:?}"
        );
        assert_eq!(finding.details.is_empty(), verdict == Verdict::Good);
        assert!(finding.message.contains("1.2.3"), "{finding:?}");
    }
}

#[test]
fn the_worst_of_many_kinds_is_what_counts() {
    let newer = with(|fields| fields["status"]["properties"]["mood"] = json!({ "type": "string" }));
    let finding = kinds(
        &[
            (server(), Some(newer)),
            (server(), None),
            (server(), Some(server())),
        ],
        "1",
    );
    assert_eq!((finding.verdict, finding.details.len()), (Verdict::Bad, 2));
}

#[test]
fn only_one_that_renews_leads() {
    let name = || "operator-1".to_owned();
    let cases = [
        (Standing::Leads(name()), Verdict::Good, "operator-1 leads"),
        (Standing::Silent(name()), Verdict::Bad, "does not renew it"),
        (Standing::Nobody, Verdict::Bad, "no operator runs"),
        (Standing::NoLease, Verdict::Bad, "is home its namespace?"),
    ];
    for (standing, verdict, words) in cases {
        let finding = leader(&standing, "home", "it");
        assert_eq!(finding.verdict, verdict);
        assert!(finding.message.contains(words), "{finding:?}");
    }
}

fn hypervisor(name: &str, ready: Option<(&str, &str)>) -> Hypervisor {
    let conditions = ready.map(|(status, message)| {
        json!({ "type": "Ready", "status": status, "reason": "R", "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z" })
    });
    serde_json::from_value(json!({
        "apiVersion": "kilonova.dev/v1alpha1",
        "kind": "Hypervisor",
        "metadata": { "name": name },
        "spec": {},
        "status": { "conditions": conditions.into_iter().collect::<Vec<_>>() },
    }))
    .unwrap()
}

#[test]
fn one_host_in_trouble_is_a_warning_and_all_of_them_are_not() {
    let good = || hypervisor("n1", Some(("True", "")));
    let silent = || hypervisor("n2", Some(("False", "its agent is silent")));
    let new = || hypervisor("n3", None);
    let cases = [
        (vec![], Verdict::Warning, vec![]),
        (vec![good()], Verdict::Good, vec![]),
        (
            vec![good(), silent(), new()],
            Verdict::Warning,
            vec![
                "n2: its agent is silent",
                "n3: no operator has looked at it yet",
            ],
        ),
        (
            vec![silent()],
            Verdict::Bad,
            vec!["n2: its agent is silent"],
        ),
    ];
    for (all, verdict, details) in cases {
        let finding = hypervisors(&all);
        assert_eq!(
            (finding.verdict, &finding.details[..]),
            (
                verdict,
                &details
                    .iter()
                    .map(|&detail| detail.to_owned())
                    .collect::<Vec<_>>()[..]
            )
        );
    }
}

#[test]
fn a_long_list_is_cut_and_says_so() {
    let guests: Vec<_> = (0..12).map(|number| format!("guest-{number}")).collect();
    let finding = unused(&guests);
    assert_eq!(finding.verdict, Verdict::Bad);
    assert_eq!(finding.details.len(), 11);
    assert_eq!(finding.details[10], "and 2 more");
    assert_eq!(unused(&[]).verdict, Verdict::Good);
}
