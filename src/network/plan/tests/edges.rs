//! The same of routers, floating IPs and load balancers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    super::{
        fixtures::{Draft, id},
        sightings::{Sightings, Watched},
    },
    against,
};

/// The status of a router that has these addresses, and the internet by 203.0.113.9.
fn joined(interfaces: &[(&str, &str)], outside: bool) -> Value {
    let interfaces: Vec<Value> = interfaces
        .iter()
        .map(|(subnet, ip)| json!({"subnet": subnet, "ip": ip}))
        .collect();
    let gateway = json!({
        "network": id("Network", "infra/internet"),
        "addresses": [{"subnet": "internet-v4", "ip": "203.0.113.9"}],
    });
    let mut status = json!({ "interfaces": interfaces });
    if outside {
        status["gateway"] = gateway;
    }
    status
}

fn subnets(names: &[&str]) -> Value {
    json!(
        names
            .iter()
            .map(|name| json!({ "subnet": name }))
            .collect::<Vec<_>>()
    )
}

fn shop() -> Draft {
    let mut draft = Draft::default();
    draft
        .internet()
        .plain("shop/front", "10.0.0.0/24")
        .plain("shop/back", "10.1.0.0/24");
    draft.plain("shop/twin", "10.0.0.0/16");
    draft
}

#[test]
fn a_router_says_what_is_left_out_and_keeps_the_rest() {
    let internet = || json!({"network": "infra/internet"});
    for (spec, status, words) in [
        (
            json!({"interfaces": subnets(&["front-v4", "twin-v4"])}),
            joined(&[("front-v4", "10.0.0.1")], false),
            "subnet shop/twin-v4 (10.0.0.0/16) overlaps subnet shop/front-v4 (10.0.0.0/24), which this router has already: it is \
             left out",
        ),
        (
            json!({"interfaces": subnets(&["front-v4", "shop/front-v4"])}),
            joined(&[("front-v4", "10.0.0.1")], false),
            "subnet shop/front-v4 is there twice: the second is left out",
        ),
        (
            json!({"interfaces": subnets(&["front-v4", "gone"])}),
            joined(&[("front-v4", "10.0.0.1")], false),
            "there is no subnet \"gone\" in this project: `kubectl get subnets` lists what there is",
        ),
        (
            json!({"interfaces": subnets(&["front-v4", "infra/internet-v4"]), "externalGateway": internet()}),
            joined(&[("front-v4", "10.0.0.1")], true),
            "subnet infra/internet-v4 is of network infra/internet, where this router has its external gateway: the interface is \
             left out",
        ),
        (
            json!({"interfaces": subnets(&["front-v4", "infra/internet-v4"])}),
            joined(&[("front-v4", "10.0.0.1")], false),
            "subnet infra/internet-v4 is of another project, whose gateway 203.0.113.1 this router cannot be: set another \
             address for the interface",
        ),
        (
            json!({"interfaces": subnets(&["front-v4"]), "externalGateway": {"network": "back"}}),
            joined(&[("front-v4", "10.0.0.1")], true),
            "network shop/back is not external: its administrator can set spec.external, or use one that is",
        ),
        (
            json!({"interfaces": subnets(&["front-v4"]), "routes": [{"to": "10.9.0.0/16", "via": "10.7.0.1"}]}),
            joined(&[("front-v4", "10.0.0.1")], false),
            "the route to 10.9.0.0/16 has the next hop 10.7.0.1, which is in no subnet that this router has: it is left out",
        ),
        (
            json!({"interfaces": subnets(&["front-v4"]), "routes": [{"to": "10.9.0.0/16", "via": "10.0.0.1"}]}),
            joined(&[("front-v4", "10.0.0.1")], false),
            "the route to 10.9.0.0/16 has this router's own address 10.0.0.1 as next hop: it is left out",
        ),
        (
            json!({"interfaces": subnets(&["front-v4"]), "routes": [{"to": "2001:db8::/64", "via": "10.0.0.9"}]}),
            joined(&[("front-v4", "10.0.0.1")], false),
            "the route to 2001:db8::/64 has a next hop of the other family, 10.0.0.9: it is left out",
        ),
    ] {
        let mut draft = shop();
        draft.router("shop/edge", spec, status);
        let survey = draft.survey();
        assert_eq!(against(&survey, "Router", "shop/edge"), [words]);
        let made = &survey.topology.routers[&id("Router", "shop/edge")];
        assert_eq!(made.interfaces.len(), 1, "{words}");
    }
}

#[test]
fn a_subnet_without_gateway_and_a_gateway_without_host_are_told() {
    let mut draft = Draft::default();
    let provider = json!({"physicalNetwork": "far"});
    draft.network("shop/out", json!({"provider": provider, "external": true}));
    draft.subnet("shop/out-v4", "out", "198.51.100.0/24", json!({}));
    draft.network("shop/in", json!({}));
    draft.subnet(
        "shop/in-v4",
        "in",
        "10.0.0.0/24",
        json!({"gateway": "None"}),
    );
    draft.node("n1", &["public"], true);
    let spec = json!({"interfaces": subnets(&["in-v4"]), "externalGateway": {"network": "out"}});
    draft.router("shop/edge", spec, json!({}));
    assert_eq!(
        against(&draft.survey(), "Router", "shop/edge"),
        [
            "no hypervisor that is ready reaches the physical network \"far\", so nothing passes the external gateway: an \
             administrator can map it in some host's ovn-bridge-mappings",
            "subnet shop/in-v4 has no gateway, so the interface needs an address of its own: set its address",
        ]
    );
}

/// Routers a, b and c in a row: a and b on `ab`, b and c on `bc`, a and c on `ca`, each with these routes.
fn triangle(routes: [&[(&str, &str)]; 3]) -> Draft {
    let mut draft = Draft::default();
    draft
        .plain("shop/ab", "10.1.0.0/24")
        .plain("shop/bc", "10.2.0.0/24")
        .plain("shop/ca", "10.3.0.0/24");
    let places = [
        ("a", [("ab-v4", "10.1.0.2"), ("ca-v4", "10.3.0.2")]),
        ("b", [("ab-v4", "10.1.0.3"), ("bc-v4", "10.2.0.3")]),
        ("c", [("bc-v4", "10.2.0.4"), ("ca-v4", "10.3.0.4")]),
    ];
    for ((name, place), routes) in places.into_iter().zip(routes) {
        let interfaces: Vec<Value> = place
            .iter()
            .map(|(subnet, ip)| json!({"subnet": subnet, "address": ip}))
            .collect();
        let routes: Vec<Value> = routes
            .iter()
            .map(|(to, via)| json!({"to": to, "via": via}))
            .collect();
        let spec = json!({"interfaces": interfaces, "routes": routes});
        draft.router(&format!("shop/{name}"), spec, joined(&place, false));
    }
    draft
}

#[test]
fn routes_that_lead_in_a_circle_are_named_router_by_router() {
    let mut draft = triangle([
        &[("10.0.0.0/8", "10.1.0.3")],
        &[("10.9.0.0/16", "10.2.0.4")],
        &[("10.9.9.0/24", "10.3.0.2")],
    ]);
    let said = |draft: &Draft, name: &str| against(&draft.survey(), "Router", name);
    assert_eq!(
        said(&draft, "shop/c"),
        [
            "the route to 10.9.9.0/24 leads in a circle: shop/c → shop/a → shop/b → shop/c; it is left out"
        ]
    );
    assert_eq!(said(&draft, "shop/a"), [""; 0]);
    assert_eq!(said(&draft, "shop/b"), [""; 0]);
    // What held before goes on: it is a's route that closes the circle now, though a is the oldest.
    for (at, route) in [
        (1, ("10.9.0.0/16", "10.2.0.4")),
        (2, ("10.9.9.0/24", "10.3.0.2")),
    ] {
        let router = std::sync::Arc::make_mut(&mut draft.routers[at]);
        let (to, via) = route;
        let held = serde_json::from_value(json!([{"to": to, "via": via}])).unwrap();
        router.status.as_mut().unwrap().routes = held;
    }
    assert_eq!(said(&draft, "shop/c"), [""; 0]);
    assert_eq!(
        said(&draft, "shop/a"),
        [
            "the route to 10.0.0.0/8 leads in a circle: shop/a → shop/b → shop/c → shop/a; it is left out"
        ]
    );
}

#[test]
fn routes_that_end_somewhere_are_no_circle() {
    // b knows 10.9.9.0/24 by an appliance, and so what c sends around ends there.
    let draft = triangle([
        &[("10.9.0.0/16", "10.1.0.3")],
        &[("10.9.9.0/24", "10.1.0.77"), ("10.9.8.0/24", "10.2.0.4")],
        &[("10.9.9.0/24", "10.3.0.2")],
    ]);
    for name in ["shop/a", "shop/b", "shop/c"] {
        assert_eq!(against(&draft.survey(), "Router", name), [""; 0]);
    }
    let own = triangle([
        &[("10.2.0.0/24", "10.1.0.3")],
        &[("10.0.0.0/8", "10.1.0.2")],
        &[],
    ]);
    assert_eq!(against(&own.survey(), "Router", "shop/b"), [""; 0]);
}

#[test]
fn gateways_spread_over_nodes_and_stay_where_they_are() {
    let mut draft = Draft::default();
    draft.internet();
    for node in ["n2", "n3", "n4", "n5", "n6", "n7"] {
        draft.node(node, &["public"], true);
    }
    draft
        .node("dead", &["public"], false)
        .node("apart", &[], true);
    for number in 0..30 {
        let spec = json!({"externalGateway": {"network": "infra/internet"}});
        draft.router(&format!("shop/r{number}"), spec, json!({}));
    }
    let found = draft.survey().findings.routers;
    let firsts: std::collections::BTreeSet<_> = found
        .values()
        .map(|finding| finding.candidates[0].clone())
        .collect();
    assert!(firsts.len() >= 5, "{firsts:?}");
    for finding in found.values() {
        assert_eq!(finding.candidates.len(), 5);
        assert!(
            !finding
                .candidates
                .iter()
                .any(|node| node == "dead" || node == "apart")
        );
    }
    // One that had a node which does not answer now has it still, and another behind it.
    let before = json!(["dead", "n2"]);
    let status =
        json!({"gateway": {"network": id("Network", "infra/internet"), "candidates": before}});
    draft.router(
        "shop/old",
        json!({"externalGateway": {"network": "infra/internet"}}),
        status,
    );
    let old = &draft.survey().findings.routers[&id("Router", "shop/old")].candidates;
    assert_eq!(old[0], "n2", "five others live");
    assert_eq!(old.len(), 5);
}

#[test]
fn a_gateway_that_no_live_node_can_have_says_so() {
    let mut draft = Draft::default();
    draft.internet();
    draft.hypervisors.clear();
    let outside = json!({"externalGateway": {"network": "infra/internet"}});
    let had = |nodes: &[&str]| {
        json!({"gateway": {
            "network": id("Network", "infra/internet"), "candidates": nodes,
            "addresses": [{"subnet": "internet-v4", "ip": "203.0.113.9"}],
        }})
    };
    draft.router("shop/edge", outside, had(&["n2", "n3"]));
    let said = |draft: &Draft| against(&draft.survey(), "Router", "shop/edge");
    let none = "no hypervisor that is ready reaches the physical network \"public\", so nothing passes the external \
                gateway: an administrator can map it in some host's ovn-bridge-mappings";
    assert_eq!(said(&draft), [none], "both are gone");
    draft.node("n4", &[], true);
    assert_eq!(said(&draft), [none], "another does not reach it");
    draft
        .node("n2", &["public"], false)
        .node("n3", &["public"], false);
    let dead = "no hypervisor that its external gateway may be on is Ready (n2, n3), so perhaps nothing passes it: \
                `kubectl describe hypervisor n2` says what is wrong; any other that is Ready and reaches the physical \
                network \"public\" takes it over by itself";
    assert_eq!(said(&draft), [dead], "both are there and silent");
    draft.node("n5", &["public"], true);
    assert_eq!(said(&draft), [""; 0]);
}

/// Ports a and b on `front`, a router from there to the internet, and these floating IPs.
fn reached(floating: &[(&str, Value, &str)]) -> Draft {
    let mut draft = shop();
    draft
        .plugged("shop/a", "front", "10.0.0.5")
        .plugged("shop/b", "back", "10.1.0.5");
    draft.port("shop/new", "front", json!({}), json!({}));
    let spec = json!({"interfaces": subnets(&["front-v4"]), "externalGateway": {"network": "infra/internet"}});
    draft.router("shop/edge", spec, joined(&[("front-v4", "10.0.0.1")], true));
    draft.server(
        "shop/web",
        json!([{"port": "b"}, {"port": "a"}]),
        Some("n1"),
    );
    draft.server("shop/bare", json!([]), None);
    for (name, spec, ip) in floating {
        draft.floating(name, spec.clone(), ip);
    }
    draft
}

#[test]
fn a_floating_ip_says_why_it_leads_nowhere() {
    for (spec, words) in [
        (
            json!({"port": "gone"}),
            "there is no port \"gone\" in this project",
        ),
        (
            json!({"server": "gone"}),
            "there is no server \"gone\" in this project",
        ),
        (
            json!({"loadBalancer": "gone"}),
            "there is no load balancer \"gone\" in this project",
        ),
        (
            json!({"server": "bare"}),
            "server shop/bare has no port with an address yet",
        ),
        (json!({"port": "new"}), "port shop/new has no address yet"),
        (
            json!({"port": "a", "fixedAddress": "10.0.0.6"}),
            "10.0.0.6 is no address of port shop/a",
        ),
        (
            json!({"port": "b"}),
            "no router joins subnet shop/back-v4 of port shop/b with network infra/internet: one needs \
             spec.externalGateway.network infra/internet and an interface in the subnet",
        ),
    ] {
        let draft = reached(&[("shop/www", spec, "203.0.113.20")]);
        assert_eq!(against(&draft.survey(), "FloatingIP", "shop/www"), [words]);
    }
    let draft = reached(&[("shop/www", json!({"network": "front"}), "")]);
    assert_eq!(
        against(&draft.survey(), "FloatingIP", "shop/www"),
        [
            "network shop/front is not external: its administrator can set spec.external, or use one that is"
        ]
    );
    let mut draft = reached(&[]);
    draft.subnet("infra/internet-v6", "internet", "2001:db8::/64", json!({}));
    draft.floating("shop/www", json!({"port": "a"}), "2001:db8::5");
    let floating = std::sync::Arc::make_mut(&mut draft.floating[0]);
    let address = floating.status.as_mut().unwrap().address.as_mut().unwrap();
    address.subnet = "internet-v6".to_owned();
    assert_eq!(
        against(&draft.survey(), "FloatingIP", "shop/www"),
        ["port shop/a has no IPv6 address that this could lead to"]
    );
}

#[test]
fn an_address_has_one_floating_ip() {
    let draft = reached(&[
        ("shop/one", json!({"server": "web"}), "203.0.113.20"),
        ("shop/two", json!({"port": "a"}), "203.0.113.21"),
    ]);
    let survey = draft.survey();
    assert_eq!(against(&survey, "FloatingIP", "shop/one"), [""; 0]);
    assert_eq!(
        against(&survey, "FloatingIP", "shop/two"),
        [
            "floating IP shop/one, which was there first, leads to 10.0.0.5 of port shop/a already: an address has one at most"
        ]
    );
    let made = &survey.topology.routers[&id("Router", "shop/edge")].floating;
    assert_eq!(made.len(), 1);
    let made = &made[&id("FloatingIP", "shop/one")];
    assert_eq!(
        made.distributed.as_ref().unwrap().0,
        id("Port", "shop/a"),
        "n1 reaches the internet itself"
    );
}

#[test]
fn a_load_balancer_says_which_members_are_left_out() {
    let mut draft = reached(&[("shop/www", json!({"loadBalancer": "lb"}), "203.0.113.20")]);
    let members = json!([
        {"server": "web", "port": 80}, {"server": "gone", "port": 80}, {"portName": "new", "port": 80},
        {"portName": "b", "port": 80}, {"address": "2001:db8::1", "port": 80}, {"address": "10.0.0.5", "port": 81},
    ]);
    let spec = json!({
        "subnet": "front-v4",
        "listeners": [{"name": "http", "protocol": "Tcp", "port": 80, "pool": "web"}],
        "pools": [{"name": "web", "members": members, "healthCheck": {}}],
    });
    let monitor = json!([{"subnet": "front-v4", "ip": "10.0.0.50"}]);
    let status = json!({"address": {"subnet": "front-v4", "ip": "10.0.0.40"}, "monitors": monitor});
    draft.balancer("shop/lb", spec, status);
    let survey = draft.survey();
    assert_eq!(
        against(&survey, "LoadBalancer", "shop/lb"),
        [
            "pool \"web\": there is no server \"gone\" in this project: the member is left out",
            "pool \"web\": port new has no IPv4 address yet: the member is left out",
            "pool \"web\": port b is on network shop/back, which no router joins with subnet shop/front-v4: the member is left \
             out",
            "pool \"web\": 2001:db8::1 is of the other family than the load balancer: it is left out",
        ]
    );
    let made = &survey.topology.balancers[&id("LoadBalancer", "shop/lb")];
    let members = &made.listeners[0].members;
    let home = (
        id("Port", "shop/a"),
        id("Network", "shop/front"),
        "10.0.0.50".parse().unwrap(),
    );
    assert_eq!(members.len(), 2, "{members:?}");
    assert_eq!(members[0].address.to_string(), "10.0.0.5");
    assert_eq!(members[0].home, Some(home));
    assert_eq!(
        made.floating,
        Some((id("Router", "shop/edge"), "203.0.113.20".parse().unwrap()))
    );
    let mut draft = Draft::default();
    draft.balancer(
        "shop/lb",
        json!({"subnet": "gone", "listeners": [], "pools": []}),
        json!({}),
    );
    assert_eq!(
        against(&draft.survey(), "LoadBalancer", "shop/lb"),
        [
            "there is no subnet \"gone\" in this project: make it, or make the load balancer with another one"
        ]
    );
}

#[test]
fn what_ovn_tells_of_gateways_and_members_is_passed_on_and_stays_while_it_is_silent() {
    let mut draft = shop();
    draft.plugged("shop/a", "front", "10.0.0.5");
    draft.plugged("shop/b", "front", "10.0.0.6");
    let mut status = joined(&[], true);
    status["gateway"]["node"] = json!("n7");
    let spec = json!({"externalGateway": {"network": "infra/internet"}});
    draft.router("shop/edge", spec, status);
    let members = json!([{"portName": "a", "port": 80}, {"portName": "b", "port": 80}]);
    let spec = json!({
        "subnet": "front-v4",
        "listeners": [{"name": "http", "protocol": "Tcp", "port": 80, "pool": "web"}],
        "pools": [{"name": "web", "members": members, "healthCheck": {}}],
    });
    let status = json!({
        "address": {"subnet": "front-v4", "ip": "10.0.0.40"},
        "members": [{"pool": "web", "member": "port a", "ip": "10.0.0.5", "state": "OFFLINE"}],
    });
    draft.balancer("shop/lb", spec, status);
    let said = |draft: &Draft| {
        let found = draft.survey().findings;
        let node = found.routers[&id("Router", "shop/edge")].node.clone();
        let members = &found.balancers[&id("LoadBalancer", "shop/lb")].members;
        let health: Vec<_> = members.iter().map(|member| member.state.clone()).collect();
        (node, health)
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(said(&draft), (text("n7"), vec![text("OFFLINE"), None]));

    let mut seen = Sightings::default();
    draft.sightings = Some(Arc::new(seen.clone()));
    assert_eq!(said(&draft), (None, vec![None, None]), "OVN has neither");

    seen.gateways
        .insert(id("Router", "shop/edge"), "n1".to_owned());
    for (port, ip, answers) in [("shop/a", "10.0.0.5", true), ("shop/b", "10.0.0.6", false)] {
        let watched = Watched {
            port: id("Port", port),
            address: ip.parse().unwrap(),
            protocol: "tcp".to_owned(),
            number: 80,
        };
        seen.members.insert(watched, answers);
    }
    draft.sightings = Some(Arc::new(seen));
    let health = vec![text("ONLINE"), text("OFFLINE")];
    assert_eq!(said(&draft), (text("n1"), health));
}
