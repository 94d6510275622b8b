//! What a project may hold, by name, and random specs for it. They name each other, and what is not there, as it comes.

use serde_json::{Value, json};

use super::dice::Dice;

/// Everything that a project may hold: a kind, and its names.
pub const SLOTS: [(&str, &[&str]); 8] = [
    ("Network", &["n0", "n1", "n2", "ext"]),
    ("Subnet", &["s0", "s1", "s2", "s3", "s4", "x4", "x6"]),
    ("Port", &["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"]),
    ("Router", &["r0", "r1", "r2"]),
    ("SecurityGroup", &["default", "g0", "g1", "g2"]),
    ("FloatingIP", &["f0", "f1", "f2"]),
    ("LoadBalancer", &["l0", "l1"]),
    ("Server", &["v0", "v1"]),
];

const INNER: [&str; 5] = ["s0", "s1", "s2", "s3", "s4"];
const PORTS: [&str; 5] = ["p0", "p1", "p2", "p3", "nobody"];
const GROUPS: [&str; 4] = ["default", "g0", "g1", "g2"];

/// Once in how many times something of a kind is deleted when its turn comes: what others stand on stays longer.
pub fn stays(kind: &str) -> usize {
    match kind {
        "Network" | "Subnet" | "Router" => 5,
        _ => 2,
    }
}

/// What those who make specs know.
pub struct Author<'a> {
    /// Chance.
    pub dice: &'a mut Dice,
    /// The other project.
    pub other: &'a str,
    /// The flavor, and the image, of servers.
    pub flavor: &'a str,
}

impl Author<'_> {
    /// A spec for an object.
    pub fn spec(&mut self, kind: &str, name: &str) -> Value {
        match kind {
            "Network" => self.network(name),
            "Subnet" => self.subnet(name),
            "Port" => self.port(),
            "Router" => self.router(),
            "SecurityGroup" => self.group(),
            "FloatingIP" => self.floating(),
            "LoadBalancer" => self.balancer(),
            _ => self.server(),
        }
    }

    /// The first is the project's own, the second everybody's, the third the other project's as well.
    fn network(&mut self, name: &str) -> Value {
        match name {
            "n0" => json!({}),
            "n1" => json!({"sharedWith": ["*"], "mtu": 1400}),
            "n2" => json!({"sharedWith": [self.other], "portSecurity": false}),
            // Both projects may want the same VLAN.
            _ => json!({
                "provider": {"physicalNetwork": "public", "vlan": 100 + self.dice.below(8)},
                "external": true, "sharedWith": ["*"],
            }),
        }
    }

    fn subnet(&mut self, name: &str) -> Value {
        match name {
            "x4" => json!({"network": "ext", "cidr": "203.0.113.0/27", "dhcp": false}),
            "x6" => json!({"network": "ext", "cidr": "2001:db8:1::/64", "dhcp": false}),
            _ => {
                let network = *self.dice.one(&["n0", "n0", "n0", "n1", "n2"]);
                // Now and then one that overlaps another.
                let own = INNER.iter().position(|inner| *inner == name);
                let number = match own {
                    Some(own) if !self.dice.once_in(4) => own,
                    _ => self.dice.below(INNER.len()),
                };
                if self.dice.once_in(4) {
                    let mode = *self.dice.one(&["Slaac", "DhcpStateless", "DhcpStateful"]);
                    let cidr = format!("fd00:{number}::/64");
                    return json!({"network": network, "cidr": cidr, "ipv6Mode": mode});
                }
                // Few addresses, so that some subnets are full.
                let cidr = format!("10.{number}.0.0/28");
                let routes = json!([{"to": "10.99.0.0/16", "via": format!("10.{number}.0.14")}]);
                json!({"network": network, "cidr": cidr, "dns": ["192.0.2.53"], "routes": routes})
            }
        }
    }

    fn network_name(&mut self) -> String {
        let names = ["n0", "n0", "n0", "n0", "n1", "n1", "n2", "ext", "nowhere"];
        let name = *self.dice.one(&names);
        self.perhaps_other(name)
    }

    fn perhaps_other(&mut self, name: &str) -> String {
        if self.dice.once_in(4) {
            format!("{}/{name}", self.other)
        } else {
            name.to_owned()
        }
    }

    fn port(&mut self) -> Value {
        let mut spec = json!({"network": self.network_name()});
        match self.dice.below(5) {
            0 => {
                let ip = format!(
                    "10.{}.0.{}",
                    self.dice.below(INNER.len()),
                    2 + self.dice.below(4)
                );
                spec["addresses"] = json!([{ "ip": ip }]);
            }
            1 => spec["addresses"] = json!([{"subnet": self.dice.one(&INNER)}]),
            _ => {}
        }
        if self.dice.once_in(2) {
            spec["securityGroups"] = json!(self.dice.some(&GROUPS, 3));
        }
        if self.dice.once_in(4) {
            let mac = format!("02:00:00:00:00:0{}", self.dice.below(4));
            spec["allowedAddressPairs"] = json!([{"ip": "10.7.0.0/16", "mac": mac}]);
        }
        if self.dice.once_in(8) {
            spec["mac"] = json!(format!("02:00:00:00:01:0{}", self.dice.below(3)));
        }
        if self.dice.once_in(4) {
            spec["qos"] = json!({"ingress": {"maxKbps": 1000}, "egress": {"maxKbps": 2000}});
        }
        spec
    }

    fn router(&mut self) -> Value {
        let interfaces = self.dice.some(&INNER, 3);
        let interfaces: Vec<Value> = interfaces
            .iter()
            .map(|name| json!({"subnet": self.perhaps_other(name)}))
            .collect();
        let mut spec = json!({"interfaces": interfaces});
        if !self.dice.once_in(3) {
            let network = self.perhaps_other("ext");
            spec["externalGateway"] = json!({"network": network, "snat": self.dice.once_in(2)});
        }
        if self.dice.once_in(2) {
            let via = format!("10.{}.0.13", self.dice.below(INNER.len()));
            spec["routes"] = json!([{"to": "10.98.0.0/16", "via": via}]);
        }
        spec
    }

    fn group(&mut self) -> Value {
        let peers = self.dice.some(&GROUPS, 3);
        let mut rules: Vec<Value> = peers
            .iter()
            .map(|group| json!({"direction": "Ingress", "group": group}))
            .collect();
        let ports = json!({"from": 80, "to": 80 + self.dice.below(20)});
        rules.push(json!({"direction": "Egress"}));
        rules.push(
            json!({"direction": "Ingress", "protocol": "Tcp", "ports": ports, "cidr": "0.0.0.0/0"}),
        );
        json!({"rules": rules, "stateful": !self.dice.once_in(3)})
    }

    fn floating(&mut self) -> Value {
        let mut spec = json!({"network": self.perhaps_other("ext")});
        match self.dice.below(5) {
            0 | 3 => spec["port"] = json!(self.dice.one(&PORTS)),
            1 => spec["server"] = json!(self.dice.one(&["v0", "v1"])),
            2 => spec["loadBalancer"] = json!(self.dice.one(&["l0", "l1"])),
            _ => {}
        }
        spec
    }

    fn balancer(&mut self) -> Value {
        let ports = self.dice.some(&PORTS, 4);
        let mut members: Vec<Value> = ports
            .iter()
            .map(|port| json!({"portName": port, "port": 80}))
            .collect();
        members.push(json!({"address": "10.0.0.6", "port": 8080}));
        if self.dice.once_in(2) {
            members.push(json!({"server": "v0", "port": 80}));
        }
        let mut pool = json!({"name": "web", "members": members});
        if self.dice.once_in(2) {
            pool["healthCheck"] = json!({});
        }
        let listener =
            |protocol| json!({"name": protocol, "protocol": protocol, "port": 80, "pool": "web"});
        json!({
            "subnet": self.dice.one(&INNER), "pools": [pool],
            "listeners": [listener("Tcp"), listener("Udp")],
        })
    }

    /// One that no node takes: it has its ports, and no guest.
    fn server(&mut self) -> Value {
        let network = *self.dice.one(&["n0", "n1"]);
        let mut networks = vec![json!({"network": network})];
        if self.dice.once_in(2) {
            networks.push(json!({"port": self.dice.one(&PORTS)}));
        }
        json!({
            "flavor": self.flavor, "image": "tiny", "networks": networks,
            "placement": {"nodeSelector": {"kilonova.test/nobody": "has-it"}},
        })
    }
}
