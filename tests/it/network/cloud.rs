//! Topologies for tests: one that has something of everything, random ones, and one as large as is wished.
//!
//! Whoever uses this file has `api` and `network` of the crate beside it, since tests inside of the crate and outside of it
//! call them differently.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::api::address::{Cidr, Mac};
use super::api::load_balancer::ListenerProtocol;
use super::api::network::Provider;
use super::api::port::{Bandwidth, Qos};
use super::api::security_group::{Direction, Family, IcmpType, PortRange, Protocol};
use super::api::subnet::Ipv6Mode;
use super::network::plan::topology::{
    Balancer, Floating, Gateway, Group, Health, Interface, Listener, Member, Origin, Peer, Port,
    Router, Rule, Subnet, Switch, Topology,
};

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

pub fn origin(kind: &'static str, name: &str) -> Origin {
    Origin {
        kind,
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        uid: name.to_owned(),
    }
}

pub fn switch(name: &str, subnets: &[(&str, &str, Option<&str>)]) -> Switch {
    let subnet = |(name, prefix, gateway): &(&str, &str, Option<&str>)| {
        let subnet = Subnet {
            origin: origin("Subnet", name),
            cidr: cidr(prefix),
            gateway: gateway.map(ip),
            dhcp: true,
            ipv6_mode: Ipv6Mode::Slaac,
            dns: Vec::new(),
            routes: Vec::new(),
        };
        ((*name).to_owned(), subnet)
    };
    Switch {
        origin: origin("Network", name),
        mtu: 1442,
        provider: None,
        subnets: subnets.iter().map(subnet).collect(),
        ports: BTreeMap::new(),
    }
}

pub fn port(name: &str, addresses: &[(&str, &str)], groups: &[&str]) -> Port {
    Port {
        origin: origin("Port", name),
        mac: Mac::of(name),
        addresses: addresses
            .iter()
            .map(|(subnet, address)| ((*subnet).to_owned(), ip(address)))
            .collect(),
        secure: true,
        pairs: Vec::new(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        qos: None,
        enabled: true,
        node: None,
        names: vec![name.to_owned()],
    }
}

pub fn interface(switch: &str, mac: &str, addresses: &[(&str, &str)]) -> Interface {
    Interface {
        switch: switch.to_owned(),
        mac: mac.parse().unwrap(),
        addresses: port("", addresses, &[]).addresses,
    }
}

pub fn rule(
    direction: Direction,
    protocol: Option<Protocol>,
    port: Option<u16>,
    peer: Peer,
) -> Rule {
    Rule {
        direction,
        family: None,
        protocol,
        ports: port.map(|port| PortRange {
            from: port,
            to: port,
        }),
        icmp: None,
        peer,
    }
}

fn group(name: &str, rules: Vec<Rule>) -> (String, Group) {
    let group = Group {
        origin: origin("SecurityGroup", name),
        stateful: true,
        rules,
    };
    (name.to_owned(), group)
}

/// A shop: web servers behind a load balancer, a database network, a router, and the world outside.
pub fn shop() -> Topology {
    let mut topology = Topology::default();
    let mut web = switch(
        "web",
        &[
            ("web4", "10.0.1.0/24", Some("10.0.1.1")),
            ("web6", "fd00:1::/64", Some("fd00:1::1")),
        ],
    );
    for (name, number) in [("web-1", 11), ("web-2", 12), ("client", 13)] {
        let four = format!("10.0.1.{number}");
        let six = format!("fd00:1::{number}");
        let mut one = port(
            name,
            &[("web4", &four), ("web6", &six)],
            &["default", "http"],
        );
        one.node = Some("node1".to_owned());
        web.ports.insert(name.to_owned(), one);
    }
    if let Some(client) = web.ports.get_mut("client") {
        client.groups = BTreeSet::from(["default".to_owned()]);
        client.pairs = vec![(cidr("10.0.1.200/32"), None), (cidr("10.9.0.0/24"), None)];
    }
    let mut appliance = port("appliance", &[("web4", "10.0.1.20")], &[]);
    appliance.secure = false;
    web.ports.insert("appliance".to_owned(), appliance);

    let mut db = switch("db", &[("db4", "10.0.2.0/24", Some("10.0.2.1"))]);
    let mut db_1 = port("db-1", &[("db4", "10.0.2.11")], &["db"]);
    db_1.qos = Some(Qos {
        ingress: Some(Bandwidth {
            max_kbps: 1000,
            max_burst_kbits: None,
        }),
        egress: Some(Bandwidth {
            max_kbps: 2000,
            max_burst_kbits: Some(300),
        }),
    });
    db.ports.insert("db-1".to_owned(), db_1);

    let mut outside = switch(
        "outside",
        &[("outside4", "192.0.2.0/24", Some("192.0.2.1"))],
    );
    outside.mtu = 1500;
    outside.provider = Some(Provider {
        physical_network: "public".to_owned(),
        vlan: Some(100),
    });
    for switch in [web, db, outside] {
        topology.switches.insert(switch.origin.uid.clone(), switch);
    }
    topology.groups = groups();
    topology.routers = BTreeMap::from([("edge".to_owned(), edge())]);
    topology.balancers = BTreeMap::from([("front".to_owned(), front())]);
    topology
}

fn groups() -> BTreeMap<String, Group> {
    let own = || Peer::Group("default".to_owned());
    let ping = Rule {
        icmp: Some(IcmpType {
            kind: 8,
            code: Some(0),
        }),
        ..rule(
            Direction::Ingress,
            Some(Protocol::Icmp),
            None,
            Peer::Anybody,
        )
    };
    let range = Rule {
        family: Some(Family::Ipv4),
        ports: Some(PortRange {
            from: 8000,
            to: 8010,
        }),
        ..rule(
            Direction::Ingress,
            Some(Protocol::Udp),
            None,
            Peer::Prefix(cidr("198.51.100.0/24")),
        )
    };
    BTreeMap::from([
        group(
            "default",
            vec![
                rule(Direction::Egress, None, None, Peer::Anybody),
                rule(Direction::Ingress, None, None, own()),
            ],
        ),
        group(
            "http",
            vec![
                rule(
                    Direction::Ingress,
                    Some(Protocol::Tcp),
                    Some(80),
                    Peer::Anybody,
                ),
                ping,
                range,
            ],
        ),
        group(
            "db",
            vec![rule(
                Direction::Ingress,
                Some(Protocol::Tcp),
                Some(5432),
                Peer::Group("http".to_owned()),
            )],
        ),
    ])
}

fn edge() -> Router {
    let floating = |name: &str, external: &str, internal: &str, at: Option<&str>| {
        let floating = Floating {
            origin: origin("FloatingIP", name),
            external: ip(external),
            internal: ip(internal),
            distributed: at.map(|port| (port.to_owned(), Mac::of(name))),
        };
        (name.to_owned(), floating)
    };
    Router {
        origin: origin("Router", "edge"),
        enabled: true,
        interfaces: vec![
            interface(
                "web",
                "02:00:00:00:01:01",
                &[("web4", "10.0.1.1"), ("web6", "fd00:1::1")],
            ),
            interface("db", "02:00:00:00:02:01", &[("db4", "10.0.2.1")]),
        ],
        gateway: Some(Gateway {
            interface: interface(
                "outside",
                "02:00:00:00:03:01",
                &[("outside4", "192.0.2.10")],
            ),
            snat: true,
            next_hops: vec![ip("192.0.2.1")],
            chassis: BTreeMap::from([("node1".to_owned(), 20), ("node2".to_owned(), 10)]),
        }),
        routes: vec![(cidr("10.99.0.0/16"), ip("10.0.1.20"))],
        floating: BTreeMap::from([
            floating("fip-1", "192.0.2.51", "10.0.1.11", Some("web-1")),
            floating("fip-2", "192.0.2.52", "10.0.1.12", None),
        ]),
    }
}

fn front() -> Balancer {
    let member = |port: &str, address: &str| Member {
        address: ip(address),
        port: 80,
        home: Some((port.to_owned(), "web".to_owned(), ip("10.0.1.2"))),
    };
    Balancer {
        origin: origin("LoadBalancer", "front"),
        switch: "web".to_owned(),
        subnet: "web4".to_owned(),
        address: ip("10.0.1.100"),
        mac: Mac::of("front"),
        floating: Some(("edge".to_owned(), ip("192.0.2.60"))),
        listeners: vec![
            Listener {
                protocol: ListenerProtocol::Tcp,
                port: 80,
                sticky: false,
                members: vec![member("web-1", "10.0.1.11"), member("web-2", "10.0.1.12")],
                health: Some(Health {
                    interval: 5,
                    timeout: 3,
                    rise: 2,
                    fall: 3,
                }),
            },
            Listener {
                protocol: ListenerProtocol::Udp,
                port: 53,
                sticky: true,
                members: Vec::new(),
                health: None,
            },
        ],
    }
}

/// A topology made of choices: each of them is a number below the one that is asked with.
pub fn random(choose: &mut impl FnMut(usize) -> usize) -> Topology {
    let mut topology = shop();
    for (uid, switch) in &mut topology.switches {
        switch.ports.retain(|_, _| choose(3) > 0);
        for number in 0..choose(4) {
            let name = format!("{uid}-more-{number}");
            let mut one = port(&name, &[], &[]);
            for (subnet, range) in &switch.subnets {
                if let IpAddr::V4(first) = range.cidr.net().network() {
                    let address = u32::from(first) + 100 + u32::try_from(number).unwrap();
                    one.addresses
                        .push((subnet.clone(), IpAddr::V4(address.into())));
                }
            }
            one.secure = choose(4) > 0;
            one.enabled = choose(4) > 0;
            one.node = (choose(2) > 0).then(|| format!("node{}", choose(3)));
            if choose(3) == 0 {
                let mac = (choose(2) == 0).then(|| Mac::of("shared"));
                one.pairs.push((cidr("10.7.0.0/16"), mac));
            }
            for group in ["default", "http", "db", "nowhere"] {
                if choose(2) > 0 {
                    one.groups.insert(group.to_owned());
                }
            }
            switch.ports.insert(name, one);
        }
    }
    for group in topology.groups.values_mut() {
        group.stateful = choose(3) > 0;
        group.rules.retain(|_| choose(3) > 0);
    }
    topology.groups.retain(|_, _| choose(4) > 0);
    if let Some(router) = topology.routers.get_mut("edge") {
        router.interfaces.retain(|_| choose(4) > 0);
        router.floating.retain(|_, _| choose(3) > 0);
        if let Some(gateway) = &mut router.gateway {
            gateway.snat = choose(2) > 0;
            gateway.chassis.retain(|_, _| choose(3) > 0);
        }
        if choose(4) == 0 {
            router.gateway = None;
        }
    }
    topology.routers.retain(|_, _| choose(4) > 0);
    if let Some(balancer) = topology.balancers.get_mut("front") {
        for listener in &mut balancer.listeners {
            listener.members.retain(|_| choose(3) > 0);
            listener.sticky = choose(2) > 0;
        }
        if choose(2) == 0 {
            balancer.floating = None;
        }
    }
    topology.balancers.retain(|_, _| choose(3) > 0);
    topology.switches.retain(|_, _| choose(6) > 0);
    topology
}

/// So many networks with so many ports each, and so many groups, of which each port has two.
pub fn large(networks: usize, ports: usize, groups: usize) -> Topology {
    let mut topology = Topology::default();
    let uid = |kind: usize, number: usize| format!("{kind:08x}-0000-4000-8000-{number:012x}");
    for number in 0..groups {
        let peer = || Peer::Group(uid(3, (number + 1) % groups));
        let mut rules = vec![
            rule(Direction::Egress, None, None, Peer::Anybody),
            rule(Direction::Ingress, None, None, peer()),
        ];
        rules.extend((0..18).map(|port| {
            rule(
                Direction::Ingress,
                Some(Protocol::Tcp),
                Some(8000 + port),
                Peer::Anybody,
            )
        }));
        let (uid, group) = group(&uid(3, number), rules);
        topology.groups.insert(uid, group);
    }
    for network in 0..networks {
        let (second, third) = (network / 250, network % 250);
        let subnet = uid(2, network);
        let prefix = format!("10.{second}.{third}.0/24");
        let gateway = format!("10.{second}.{third}.1");
        let mut switch = switch(&uid(1, network), &[(&subnet, &prefix, Some(&gateway))]);
        for number in 0..ports {
            let name = uid(4, network * ports + number);
            let address = format!("10.{second}.{third}.{}", number + 2);
            let own = [uid(3, number % groups), uid(3, (number + 7) % groups)];
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            let mut one = port(&name, &[(&subnet, &address)], &own);
            one.node = Some(format!("node{}", number % 3));
            switch.ports.insert(name, one);
        }
        topology.switches.insert(switch.origin.uid.clone(), switch);
    }
    topology
}
