//! What makes no sense is refused in words that name the culprit, and leaves everything else as it was.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    fixtures::{Draft, id, leaving},
    survey::Survey,
};

mod edges;
mod uses;

/// Everything that is said against an object.
pub fn against(survey: &Survey, kind: &str, full: &str) -> Vec<String> {
    let uid = id(kind, full);
    let findings = &survey.findings;
    let (seen, refused) = match kind {
        "Network" => (&findings.networks[&uid].seen, None),
        "Subnet" => (&findings.subnets[&uid].seen, None),
        "Port" => {
            let finding = &findings.ports[&uid];
            (&finding.seen, finding.refused.clone())
        }
        "Router" => (&findings.routers[&uid].seen, None),
        "SecurityGroup" => (&findings.groups[&uid].seen, None),
        "FloatingIP" => {
            let finding = &findings.floating[&uid];
            (&finding.seen, finding.refused.clone())
        }
        _ => {
            let finding = &findings.balancers[&uid];
            (&finding.seen, finding.refused.clone())
        }
    };
    let all = refused.iter().chain(&seen.problems);
    all.map(ToString::to_string).collect()
}

#[test]
fn equal_objects_make_an_equal_survey() {
    let mut draft = Draft::default();
    draft
        .plain("shop/front", "10.0.0.0/24")
        .plugged("shop/a", "front", "10.0.0.5");
    draft.plugged("shop/b", "front", "10.0.0.6");
    let one = draft.survey();
    draft.ports.reverse();
    let other = draft.survey();
    assert_eq!(one.topology, other.topology);
    assert_eq!(one.findings, other.findings);
    assert_eq!(
        one.topology.switches[&id("Network", "shop/front")]
            .ports
            .len(),
        2
    );
}

#[test]
fn a_subnet_gives_nothing_out_while_it_can_still_vanish_at_once() {
    let mut draft = Draft::default();
    draft
        .plain("shop/front", "10.0.0.0/24")
        .port("shop/a", "front", json!({}), json!({}));
    let uid = id("Port", "shop/a");
    let given = |draft: &Draft| {
        let Survey {
            findings, ledger, ..
        } = draft.survey();
        let mut ledger = ledger;
        let finding = &findings.ports[&uid];
        let given = ledger.take(&finding.seen.owner(), &finding.demand);
        given.map_err(|problem| (problem.reason(), problem.to_string()))
    };
    assert!(given(&draft).is_ok());
    let (subnet, network) = (
        Arc::clone(&draft.subnets[0]),
        Arc::clone(&draft.networks[0]),
    );
    let words = "subnet shop/front-v4 was made just now and gives out addresses in a moment";
    // As the objects are before the operator has put its finalizer on them.
    Arc::make_mut(&mut draft.subnets[0]).metadata.finalizers = None;
    assert_eq!(
        given(&draft).unwrap_err(),
        ("NotAllocated", words.to_owned())
    );
    draft.subnets[0] = subnet;
    Arc::make_mut(&mut draft.networks[0]).metadata.finalizers = None;
    assert_eq!(
        given(&draft).unwrap_err(),
        ("NotAllocated", words.to_owned())
    );
    draft.networks[0] = network;
    assert!(given(&draft).is_ok());
}

#[test]
fn who_wishes_for_an_address_comes_before_those_who_take_any() {
    let mut draft = Draft::default();
    draft.plain("shop/front", "10.0.0.0/24");
    let wish = json!({"addresses": [{"ip": "10.0.0.2"}]});
    let specs = [
        json!({}),
        wish,
        json!({}),
        json!({"mac": "02:00:00:00:00:01"}),
    ];
    for (name, spec) in ["shop/a", "shop/b", "shop/c", "shop/d"].iter().zip(specs) {
        draft.port(name, "front", spec, json!({}));
    }
    let survey = draft.survey();
    let lacking = survey.findings.lacking();
    let names: Vec<&str> = lacking.iter().map(|(seen, _)| &*seen.origin.name).collect();
    assert_eq!(names, ["b", "d", "a", "c"]);
}

#[test]
fn the_older_of_two_subnets_that_overlap_stays() {
    let mut draft = Draft::default();
    draft.plain("shop/front", "10.0.0.0/16");
    draft.subnet("shop/late", "front", "10.0.3.0/24", json!({}));
    draft.subnet("shop/beside", "front", "10.1.0.0/24", json!({}));
    let survey = draft.survey();
    assert_eq!(
        against(&survey, "Subnet", "shop/late"),
        [
            "10.0.3.0/24 overlaps 10.0.0.0/16 of subnet shop/front-v4, which is older and of the same network: delete this \
             subnet and make it with other addresses"
        ]
    );
    let made = &survey.topology.switches[&id("Network", "shop/front")].subnets;
    assert_eq!(made.len(), 2);
    assert!(!made.contains_key(&id("Subnet", "shop/late")));
    // In another network the same addresses are nobody's business.
    draft.plain("other/front", "10.0.0.0/16");
    assert_eq!(
        against(&draft.survey(), "Subnet", "other/front-v4"),
        [""; 0]
    );
}

#[test]
fn a_subnet_says_what_the_schema_cannot_see() {
    for (spec, words) in [
        (
            json!({"gateway": "10.0.0.255"}),
            "the gateway 10.0.0.255 is the broadcast address of 10.0.0.0/24, which no router can have: make the subnet with \
             another gateway",
        ),
        (
            json!({"gateway": "10.0.0.0"}),
            "the gateway 10.0.0.0 is the network address of 10.0.0.0/24, which no router can have: make the subnet with \
             another gateway",
        ),
        (
            json!({"gateway": "10.0.1.1"}),
            "the gateway 10.0.1.1 is not in 10.0.0.0/24: make the subnet with another gateway",
        ),
        (
            json!({"pools": [{"start": "10.0.0.9", "end": "10.0.0.5"}]}),
            "the pool 10.0.0.9 to 10.0.0.5 is upside down: its start is above its end; it is left out",
        ),
        (
            json!({"pools": [{"start": "10.0.0.5", "end": "10.0.1.5"}]}),
            "the pool 10.0.0.5 to 10.0.1.5 is not in 10.0.0.0/24; it is left out",
        ),
        (
            json!({"pools": [{"start": "10.0.0.5", "end": "10.0.0.9"}, {"start": "10.0.0.9", "end": "10.0.0.12"}]}),
            "the pool 10.0.0.9 to 10.0.0.12 overlaps the pool 10.0.0.5 to 10.0.0.9 before it; it is left out",
        ),
        (
            json!({"routes": [{"to": "10.9.0.0/16", "via": "10.0.1.1"}]}),
            "the route to 10.9.0.0/16 has the next hop 10.0.1.1, which is not in 10.0.0.0/24; it is left out",
        ),
        (
            json!({"dns": ["2001:db8::53"]}),
            "the DNS server 2001:db8::53 is not of the subnet's family, by which guests could be told of it; it is left out",
        ),
    ] {
        let mut draft = Draft::default();
        draft.network("shop/front", json!({}));
        draft.subnet("shop/a", "front", "10.0.0.0/24", spec);
        assert_eq!(against(&draft.survey(), "Subnet", "shop/a"), [words]);
    }
    let mut draft = Draft::default();
    draft.subnet("shop/a", "gone", "10.0.0.0/24", json!({}));
    assert_eq!(
        against(&draft.survey(), "Subnet", "shop/a"),
        [
            "there is no network \"gone\" in this project: `kubectl get networks.kilonova.dev` lists what there is"
        ]
    );
}

#[test]
fn two_networks_are_not_one_segment() {
    let provider = |vlan: Value| json!({"provider": {"physicalNetwork": "public", "vlan": vlan}});
    let mut draft = Draft::default();
    draft
        .network("infra/a", provider(json!(7)))
        .network("infra/b", provider(json!(7)));
    draft
        .network("infra/c", provider(json!(8)))
        .port("infra/p", "b", json!({}), json!({}));
    let survey = draft.survey();
    assert_eq!(
        against(&survey, "Network", "infra/b"),
        [
            "VLAN 7 of the physical network \"public\" is network infra/a already, which is older: two networks cannot be one; \
             use that one, or another VLAN"
        ]
    );
    assert_eq!(
        against(&survey, "Port", "infra/p"),
        ["network infra/b is itself refused: see `kubectl describe network` on it"]
    );
    assert_eq!(survey.topology.switches.len(), 2);
}

/// The port `shop/p` beside two subnets, with this network and these wishes.
fn port(network: &str, spec: Value) -> Vec<String> {
    let mut draft = Draft::default();
    draft
        .plain("shop/front", "10.0.0.0/24")
        .plain("shop/back", "10.1.0.0/24");
    draft
        .network("shop/bare", json!({}))
        .network("infra/secret", json!({}));
    draft.network("infra/lan", json!({"sharedWith": ["shop"]}));
    draft.subnet("infra/lan-v4", "lan", "10.2.0.0/24", json!({}));
    draft.subnet("shop/late", "front", "10.0.0.0/25", json!({}));
    draft.port("shop/p", network, spec, json!({}));
    against(&draft.survey(), "Port", "shop/p")
}

#[test]
fn a_port_says_why_it_gets_no_address() {
    let absent = |name: &str| {
        format!(
            "there is no network {name:?} that is shared with this project: check the name, or ask its owner to add this project \
             to spec.sharedWith"
        )
    };
    // Whether another's network is there is not told.
    assert_eq!(port("infra/secret", json!({})), [absent("infra/secret")]);
    assert_eq!(port("infra/gone", json!({})), [absent("infra/gone")]);
    let wish = |wish: Value| json!({ "addresses": [wish] });
    for (network, spec, words) in [
        (
            "bare",
            json!({}),
            "network shop/bare has no subnet that could give an address: make one",
        ),
        (
            "front",
            wish(json!({"ip": "10.7.0.1"})),
            "10.7.0.1 is in no subnet of network shop/front: its subnets are 10.0.0.0/24",
        ),
        (
            "front",
            wish(json!({"subnet": "back-v4"})),
            "subnet shop/back-v4 is of network shop/back, not of network shop/front",
        ),
        (
            "front",
            wish(json!({"subnet": "gone"})),
            "there is no subnet \"gone\" of network shop/front: `kubectl get subnets` lists what there is",
        ),
        (
            "front",
            wish(json!({"subnet": "late"})),
            "subnet shop/late is itself refused: see `kubectl describe subnet` on it",
        ),
        (
            "front",
            json!({"securityGroups": ["gone"]}),
            "there is no security group \"gone\" in this project: make it, or name another one; until then its rules allow \
             nothing",
        ),
    ] {
        assert_eq!(port(network, spec), [words]);
    }
    assert_eq!(port("infra/lan", json!({})), [""; 0]);
}

#[test]
fn another_projects_network_is_used_by_its_rules() {
    let mut draft = Draft::default();
    draft.network("infra/lan", json!({"sharedWith": ["*"]}));
    draft.subnet("infra/lan-v4", "lan", "10.2.0.0/24", json!({}));
    let status = json!({
        "mac": "02:00:00:00:00:01", "network": id("Network", "infra/lan"),
        "addresses": [{"subnet": "lan-v4", "ip": "10.2.0.5"}],
    });
    let spec = json!({"portSecurity": false, "allowedAddressPairs": [{"ip": "0.0.0.0/0"}], "securityGroups": []});
    draft.port("shop/p", "infra/lan", spec, status);
    let survey = draft.survey();
    assert_eq!(
        against(&survey, "Port", "shop/p"),
        [
            "network infra/lan is of another project, so this port cannot be without port security: it has it",
            "network infra/lan is of another project, so this port cannot have allowedAddressPairs: they are left out",
        ]
    );
    let made = &survey.topology.switches[&id("Network", "infra/lan")].ports[&id("Port", "shop/p")];
    assert!(made.secure && made.pairs.is_empty());
    let finding = &survey.findings.ports[&id("Port", "shop/p")];
    assert_eq!(finding.secure, Some(true));
    // Nobody is thrown out when a network is shared no longer.
    let lan = std::sync::Arc::make_mut(&mut draft.networks[0]);
    lan.spec.shared_with.clear();
    assert_eq!(
        draft.survey().topology.switches[&id("Network", "infra/lan")]
            .ports
            .len(),
        1
    );
}

#[test]
fn an_address_that_two_claim_is_the_older_ones() {
    let mut draft = Draft::default();
    draft
        .plain("shop/front", "10.0.0.0/24")
        .plugged("shop/a", "front", "10.0.0.5");
    draft.plugged("shop/b", "front", "10.0.0.5");
    let survey = draft.survey();
    assert_eq!(
        against(&survey, "Port", "shop/b"),
        [
            "10.0.0.5 of subnet shop/front-v4 is taken by port shop/a: ask for another one, or delete that"
        ]
    );
    let ports = &survey.topology.switches[&id("Network", "shop/front")].ports;
    assert_eq!(ports[&id("Port", "shop/a")].addresses.len(), 1);
    assert_eq!(ports[&id("Port", "shop/b")].addresses.len(), 0);
}

#[test]
fn the_first_server_keeps_a_port() {
    let mut draft = Draft::default();
    draft
        .plain("shop/front", "10.0.0.0/24")
        .plugged("shop/p", "front", "10.0.0.5");
    draft.server("shop/one", json!([{"port": "p"}]), Some("n1"));
    draft.server("shop/two", json!([{"port": "p"}]), Some("n2"));
    let found = |draft: &Draft| draft.survey().findings.ports[&id("Port", "shop/p")].clone();
    assert_eq!(found(&draft).server.as_deref(), Some("one"));
    assert_eq!(found(&draft).node.as_deref(), Some("n1"));
    let port = std::sync::Arc::make_mut(&mut draft.ports[0]);
    port.status.as_mut().unwrap().server = Some("two".to_owned());
    assert_eq!(found(&draft).server.as_deref(), Some("two"));
    let made = draft.survey().topology.switches[&id("Network", "shop/front")]
        .ports
        .clone();
    assert_eq!(made[&id("Port", "shop/p")].names, ["two", "two.shop"]);
}

#[test]
fn a_rule_that_names_nobody_is_left_out() {
    let mut draft = Draft::default();
    let rule = |group: &str| json!({"direction": "Ingress", "group": group});
    draft.group(
        "shop/web",
        json!([rule("web"), rule("gone"), {"direction": "Egress"}]),
    );
    let survey = draft.survey();
    assert_eq!(
        against(&survey, "SecurityGroup", "shop/web"),
        [
            "rules[1] names the security group \"gone\", which is not in this project: the rule is left out; make the group, or \
             take the rule away"
        ]
    );
    assert_eq!(
        survey.topology.groups[&id("SecurityGroup", "shop/web")]
            .rules
            .len(),
        2
    );
}

#[test]
fn whoever_uses_what_is_on_its_way_out_is_named() {
    let mut draft = Draft::default();
    draft
        .plain("shop/front", "10.0.0.0/24")
        .group("shop/default", json!([]));
    draft.group(
        "shop/web",
        json!([{"direction": "Ingress", "group": "default"}]),
    );
    draft
        .plugged("shop/a", "front", "10.0.0.5")
        .plugged("shop/b", "front", "10.0.0.6");
    draft.server("shop/one", json!([{"port": "a"}]), None);
    leaving(&mut draft.networks[0]);
    leaving(&mut draft.subnets[0]);
    leaving(&mut draft.ports[0]);
    leaving(&mut draft.groups[0]);
    let findings = draft.survey().findings;
    assert_eq!(
        findings.networks[&id("Network", "shop/front")].seen.users,
        ["port shop/a", "port shop/b", "subnet shop/front-v4"]
    );
    let ports = ["port shop/a", "port shop/b"];
    assert_eq!(
        findings.subnets[&id("Subnet", "shop/front-v4")].seen.users,
        ports
    );
    assert_eq!(
        findings.ports[&id("Port", "shop/a")].seen.users,
        ["server shop/one"]
    );
    let group = &findings.groups[&id("SecurityGroup", "shop/default")];
    assert_eq!(
        group.seen.users,
        ["port shop/a", "port shop/b", "security group shop/web"]
    );
    // Nothing new comes to what is on its way out, and so nothing new keeps it.
    draft.port("shop/c", "front", json!({}), json!({}));
    let survey = draft.survey();
    assert_eq!(
        against(&survey, "Port", "shop/c"),
        ["network shop/front is being deleted and takes nothing new: use another one"]
    );
    let users = &survey.findings.networks[&id("Network", "shop/front")]
        .seen
        .users;
    assert!(!users.contains(&"port shop/c".to_owned()), "{users:?}");
}
