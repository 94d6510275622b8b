//! Golden tests: a topology in, rows out, compared with `tests/golden/northbound`. `UPDATE_GOLDEN=1 cargo test` rewrites.

use std::fmt::Write;

use crate::api::subnet::Ipv6Mode;
use crate::network::plan::northbound::shared::cloud::{cidr, ip, shop};
use crate::network::plan::northbound::tables::KINDS;
use crate::network::plan::northbound::{Desired, Kind};
use crate::network::plan::topology::{Subnet, Topology};
use crate::ovsdb::value::{Atom, Value};

use super::compile;

/// One line for each column, without marks, which follow from the key.
fn text(desired: &Desired) -> String {
    let mut text = String::new();
    for kind in KINDS {
        for (key, wanted) in desired.table(kind) {
            let _ = writeln!(text, "{} {key} ({})", kind.name(), wanted.uid);
            let columns = wanted.row.columns();
            for (column, value) in columns.filter(|(column, _)| *column != "external_ids") {
                let _ = writeln!(text, "    {column}: {}", words(value));
            }
        }
    }
    text
}

fn words(value: &Value) -> String {
    let atom = |atom: &Atom| match atom {
        Atom::String(text) => format!("{text:?}"),
        Atom::Named(key) => format!("-> {key}"),
        Atom::Integer(number) => number.to_string(),
        Atom::Boolean(truth) => truth.to_string(),
        other => format!("{other:?}"),
    };
    match value {
        Value::One(one) => atom(one),
        Value::Set(atoms) => atoms.iter().map(atom).collect::<Vec<_>>().join(", "),
        Value::Map(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(key, value)| format!("{}={}", atom(key), atom(value)));
            pairs.collect::<Vec<_>>().join(", ")
        }
    }
}

fn check(name: &str, topology: &Topology) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/northbound")
        .join(format!("{name}.txt"));
    let actual = text(&compile(topology));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "{name}: UPDATE_GOLDEN=1 rewrites it");
}

fn subnet<'a>(topology: &'a mut Topology, switch: &str, subnet: &str) -> &'a mut Subnet {
    let switch = topology.switches.get_mut(switch).unwrap();
    switch.subnets.get_mut(subnet).unwrap()
}

#[test]
fn a_shop() {
    check("shop", &shop());
}

#[test]
fn nothing_is_made_of_nothing() {
    assert!(compile(&Topology::default()).is_empty());
}

#[test]
fn guests_are_told_what_a_subnet_says() {
    let mut topology = shop();
    topology.routers.clear();
    topology.balancers.clear();
    let four = subnet(&mut topology, "web", "web4");
    four.dns = vec![ip("9.9.9.9"), ip("1.1.1.1")];
    four.routes = vec![(cidr("10.8.0.0/16"), ip("10.0.1.9"))];
    subnet(&mut topology, "db", "db4").gateway = None;
    let six = subnet(&mut topology, "web", "web6");
    six.ipv6_mode = Ipv6Mode::DhcpStateful;
    six.dns = vec![ip("fd00::53")];
    let desired = compile(&topology);
    let options = |key: &str| {
        let row = &desired.get(Kind::DhcpOptions, key).unwrap().row;
        words(row.get("options").unwrap())
    };
    let four = options("dhcp/web4");
    for part in [
        r#""dns_server"="{9.9.9.9, 1.1.1.1}""#,
        r#""classless_static_route"="{169.254.169.254/32,0.0.0.0, 10.8.0.0/16,10.0.1.9, 0.0.0.0/0,10.0.1.1}""#,
        r#""router"="10.0.1.1""#,
        r#""mtu"="1442""#,
    ] {
        assert!(four.contains(part), "{part} in {four}");
    }
    // Without a way out, guests are told of none.
    let lonely = options("dhcp/db4");
    assert!(
        !lonely.contains("router") && !lonely.contains("dns_server"),
        "{lonely}"
    );
    assert!(
        lonely.contains(r#""server_id"="169.254.169.254""#),
        "{lonely}"
    );
    assert!(options("dhcp/web6").contains(r#""dns_server"="{fd00::53}""#));
    let port = &desired.get(Kind::SwitchPort, "port/web-1").unwrap().row;
    assert_eq!(words(port.get("dhcpv6_options").unwrap()), "-> dhcp/web6");

    subnet(&mut topology, "web", "web4").dhcp = false;
    subnet(&mut topology, "web", "web6").dhcp = false;
    let desired = compile(&topology);
    assert!(desired.get(Kind::DhcpOptions, "dhcp/web4").is_none());
    let port = &desired.get(Kind::SwitchPort, "port/web-1").unwrap().row;
    assert_eq!(port.get("dhcpv4_options"), None);
    assert!(desired.uids().contains("web4"), "it is there without rows");
}

#[test]
fn a_name_on_a_shared_network_is_its_owners() {
    let mut topology = shop();
    let web = topology.switches.get_mut("web").unwrap();
    let mut thief = web.ports["web-1"].clone();
    thief.origin.namespace = "thief".to_owned();
    thief.addresses = vec![("web4".to_owned(), ip("10.0.1.66"))];
    web.ports.insert("thief".to_owned(), thief);
    let desired = compile(&topology);
    let names = words(
        desired
            .get(Kind::Dns, "dns/web")
            .unwrap()
            .row
            .get("records")
            .unwrap(),
    );
    for part in [
        r#""web-1"="10.0.1.11 fd00:1::11""#,
        r#""web-1.shop.internal"="10.0.1.11 fd00:1::11""#,
        r#""web-1.thief.internal"="10.0.1.66""#,
    ] {
        assert!(names.contains(part), "{part} in {names}");
    }
}

#[test]
fn a_hardware_address_that_two_ports_share_is_of_neither() {
    let mut topology = shop();
    let web = topology.switches.get_mut("web").unwrap();
    let mac = "00:00:5e:00:01:07".parse().unwrap();
    for name in ["web-1", "web-2"] {
        let pair = (cidr("10.0.1.77/32"), Some(mac));
        web.ports.get_mut(name).unwrap().pairs.push(pair);
    }
    let desired = compile(&topology);
    let port = |column| {
        let row = &desired.get(Kind::SwitchPort, "port/web-1").unwrap().row;
        words(row.get(column).unwrap())
    };
    assert!(port("addresses").ends_with(r#", "unknown""#));
    assert!(port("port_security").starts_with(r#""00:00:5e:00:01:07 10.0.1.77", "#));
}

#[test]
fn a_rule_with_a_group_that_there_is_not_lets_nobody_pass() {
    let mut topology = shop();
    topology.groups.remove("http");
    let desired = compile(&topology);
    let rules = desired.table(Kind::Acl);
    let of_db = rules.filter(|(key, _)| key.starts_with("rule/db/"));
    assert_eq!(of_db.count(), 0);
    let db = &desired.get(Kind::PortGroup, "group/db").unwrap().row;
    assert_eq!(db.get("acls"), None);
}

#[test]
fn without_a_node_there_is_no_way_out() {
    let mut topology = shop();
    let edge = topology.routers.get_mut("edge").unwrap();
    edge.gateway.as_mut().unwrap().chassis.clear();
    let desired = compile(&topology);
    assert_eq!(desired.table(Kind::Nat).count(), 0);
    assert!(desired.get(Kind::RouterPort, "gateway/edge").is_none());
    assert!(
        desired
            .get(Kind::RouterPort, "interface/edge-web")
            .is_some()
    );
}
