//! The kinds of networks: every rule of their schemas, and what cannot be changed.

use serde_json::{Value, json};

use super::desk::{Desk, object, with};

fn network(change: Value) -> Value {
    object("Network", with(json!({}), change))
}

fn subnet(change: Value) -> Value {
    object(
        "Subnet",
        with(json!({"network": "front", "cidr": "10.0.0.0/24"}), change),
    )
}

fn port(change: Value) -> Value {
    object("Port", with(json!({"network": "front"}), change))
}

fn router(change: Value) -> Value {
    object("Router", with(json!({}), change))
}

fn group(change: Value) -> Value {
    object("SecurityGroup", with(json!({}), change))
}

fn floating(change: Value) -> Value {
    object(
        "FloatingIP",
        with(json!({"network": "infra/internet"}), change),
    )
}

/// One of each kind, with the columns of `kubectl get`: see `reading`.
pub fn one_of_each() -> [(Value, &'static str, &'static str); 7] {
    let none = || json!({});
    [
        (
            network(none()),
            "READY STATE MTU EXTERNAL PORTS AGE",
            "ID MESSAGE",
        ),
        (
            subnet(none()),
            "READY NETWORK CIDR GATEWAY FREE AGE",
            "ID MESSAGE",
        ),
        (
            port(none()),
            "READY STATE NETWORK ADDRESSES SERVER HOST AGE",
            "ID MESSAGE",
        ),
        (
            router(none()),
            "READY STATE GATEWAY ADDRESSES HOST AGE",
            "ID MESSAGE",
        ),
        (
            group(none()),
            "READY STATEFUL RULES PORTS AGE",
            "ID MESSAGE",
        ),
        (
            floating(none()),
            "READY STATE ADDRESS PORT FIXED AGE",
            "ID MESSAGE",
        ),
        (
            super::balancer::balancer(none()),
            "READY STATE ADDRESS ONLINE MEMBERS AGE",
            "ID MESSAGE",
        ),
    ]
}

#[tokio::test]
async fn what_networks_may_ask_for_is_taken() {
    let desk = Desk::open().await;
    for change in [
        json!({}),
        json!({"mtu": 1280, "sharedWith": ["*"]}),
        json!({"mtu": 9216, "sharedWith": ["shop", "a-b"], "portSecurity": false}),
        json!({"provider": {"physicalNetwork": "public"}, "external": true}),
        json!({"provider": {"physicalNetwork": "dc_1.rack-2", "vlan": 4094}}),
    ] {
        desk.accepts(&network(change)).await;
    }
    for change in [
        json!({"cidr": "10.0.0.0/8"}),
        json!({"cidr": "192.168.1.0/30", "gateway": "None", "dhcp": false}),
        json!({"cidr": "2001:db8::/64"}),
        json!({"cidr": "2001:db8::/126", "ipv6Mode": "DhcpStateful"}),
        json!({"gateway": "10.0.0.254", "pools": [{"start": "10.0.0.10", "end": "10.0.0.20"}]}),
        json!({"dns": ["9.9.9.9"], "routes": [{"to": "10.9.0.0/16", "via": "10.0.0.9"}]}),
    ] {
        desk.accepts(&subnet(change)).await;
    }
    for change in [
        json!({"network": "infra/lan", "mac": "02:00:5E:10:00:01"}),
        json!({"addresses": [{"subnet": "a"}, {"ip": "10.0.0.5"}, {"subnet": "b", "ip": "2001:db8::5"}]}),
        json!({"securityGroups": []}),
        json!({"allowedAddressPairs": [{"ip": "10.0.0.7"}, {"ip": "10.1.0.0/16", "mac": "02:00:5e:00:01:01"}]}),
        json!({"qos": {"ingress": {"maxKbps": 64}, "egress": {"maxKbps": 1000, "maxBurstKbits": 1}}}),
        json!({"enabled": false, "portSecurity": false}),
    ] {
        desk.accepts(&port(change)).await;
    }
    for change in [
        json!({"rules": [{"direction": "Egress"}]}),
        json!({"rules": [{"direction": "Ingress", "protocol": "Tcp", "ports": {"from": 1, "to": 65535}, "cidr": "0.0.0.0/0"}]}),
        json!({"rules": [{"direction": "Ingress", "protocol": "Icmpv6", "icmp": {"type": 128, "code": 0}, "cidr": "::/0"}]}),
        json!({"rules": [{"direction": "Ingress", "family": "IPv6", "group": "web"}], "stateful": false}),
    ] {
        desk.accepts(&group(change)).await;
    }
    let gateway =
        json!({"externalGateway": {"network": "infra/internet", "address": "203.0.113.9"}});
    desk.accepts(&router(gateway)).await;
    let route = json!({"interfaces": [{"subnet": "a"}], "routes": [{"to": "0.0.0.0/0", "via": "10.0.0.9"}]});
    desk.accepts(&router(route)).await;
    desk.accepts(&floating(
        json!({"server": "web", "fixedAddress": "10.0.0.5"}),
    ))
    .await;
}

#[tokio::test]
async fn networks_that_make_no_sense_are_refused() {
    let desk = Desk::open().await;
    let cases = [
        (json!({"mtu": 1279}), "spec.mtu"),
        (json!({"mtu": 9217}), "spec.mtu"),
        (
            json!({"sharedWith": ["Shop"]}),
            "sharedWith must be names of projects, or * for every project",
        ),
        (
            json!({"external": true}),
            "an external network needs spec.provider: which physical network it is",
        ),
        (
            json!({"provider": {"physicalNetwork": "a:b"}}),
            "physicalNetwork must be a name in the hosts' ovn-bridge-mappings",
        ),
        (
            json!({"provider": {"physicalNetwork": "a", "vlan": 4095}}),
            "spec.provider.vlan",
        ),
        (
            json!({"provider": {"physicalNetwork": "a", "vlan": 0}}),
            "spec.provider.vlan",
        ),
    ];
    desk.rejects_all(network, &cases).await;
    let made = desk
        .accepts(&network(json!({"provider": {"physicalNetwork": "a"}})))
        .await;
    let says = "spec.provider cannot be changed: make another network";
    for provider in [
        json!(null),
        json!({"physicalNetwork": "b"}),
        json!({"vlan": 7}),
    ] {
        desk.refuses_change(&made, json!({"spec": {"provider": provider}}), says)
            .await;
    }
}

#[tokio::test]
async fn subnets_that_make_no_sense_are_refused() {
    let desk = Desk::open().await;
    let length = "cidr must have a prefix length between 8 and 30, or between 32 and 126 for IPv6";
    let prefix =
        "cidr must be a prefix without bits behind it, such as 10.0.0.0/24 or 2001:db8::/64";
    let gateway = "gateway must be an address of the subnet's cidr, or None";
    let cases = [
        (json!({"cidr": "10.0.0.0/33"}), prefix),
        (json!({"cidr": "10.0.0.5/24"}), prefix),
        (json!({"cidr": "10.0.0.0"}), prefix),
        (json!({"cidr": "10.0.0.0/31"}), length),
        (json!({"cidr": "8.0.0.0/7"}), length),
        (
            json!({"cidr": "2001:db8::/127", "ipv6Mode": "DhcpStateful"}),
            length,
        ),
        (json!({"gateway": "10.0.1.1"}), gateway),
        (json!({"gateway": "2001:db8::1"}), gateway),
        (
            json!({"gateway": "none"}),
            "gateway must be an IP address of the subnet, or None",
        ),
        (
            json!({"pools": [{"start": "10.0.0.9", "end": "10.0.1.9"}]}),
            "pools must lie in the subnet's cidr",
        ),
        (
            json!({"pools": [{"start": "10.0.0.9", "end": "::1"}]}),
            "a pool's start and end must be of one family",
        ),
        (
            json!({"ipv6Mode": "Slaac"}),
            "ipv6Mode is for a subnet of IPv6",
        ),
        (
            json!({"cidr": "2001:db8::/65"}),
            "has a prefix length of 64 (RFC 4862, section 5.5.3)",
        ),
        (
            json!({"dns": ["dns.example"]}),
            "dns must be IP addresses of DNS servers",
        ),
        (
            json!({"routes": [{"to": "10.9.0.1/16", "via": "10.0.0.9"}]}),
            "to must be a prefix without bits behind it",
        ),
        (
            json!({"routes": [{"to": "10.9.0.0/16", "via": "here"}]}),
            "via must be an IP address",
        ),
    ];
    desk.rejects_all(subnet, &cases).await;
    let made = desk.accepts(&subnet(json!({}))).await;
    for (spec, says) in [
        (
            json!({"network": "back"}),
            "spec.network cannot be changed: make another subnet",
        ),
        (
            json!({"cidr": "10.0.1.0/24"}),
            "spec.cidr cannot be changed: make another subnet",
        ),
        (
            json!({"gateway": "10.0.0.9"}),
            "spec.gateway cannot be changed: make another subnet",
        ),
    ] {
        desk.refuses_change(&made, json!({ "spec": spec }), says)
            .await;
    }
    let made = desk
        .accepts(&subnet(
            json!({"cidr": "2001:db8::/64", "ipv6Mode": "DhcpStateless"}),
        ))
        .await;
    let says = "spec.ipv6Mode cannot be changed: make another subnet";
    desk.refuses_change(&made, json!({"spec": {"ipv6Mode": "Slaac"}}), says)
        .await;
}

#[tokio::test]
async fn ports_that_make_no_sense_are_refused() {
    let desk = Desk::open().await;
    let mac = "mac must be the MAC address of an interface";
    let cases = [
        (
            json!({"network": "A/b"}),
            "network must be the name of a Network",
        ),
        (json!({"network": null}), "spec.network: Required value"),
        (json!({"mac": "01:00:5e:00:00:01"}), mac),
        (json!({"mac": "00:00:00:00:00:00"}), mac),
        (
            json!({"addresses": [{}]}),
            "an address needs subnet, ip or both",
        ),
        (
            json!({"addresses": [{"ip": "10.0.0.300"}]}),
            "ip must be an IP address",
        ),
        (
            json!({"securityGroups": ["Web"]}),
            "securityGroups must be names of SecurityGroups of this project",
        ),
        (
            json!({"allowedAddressPairs": [{"ip": "10.0.0.1/16"}]}),
            "ip must be an IP address, or a prefix without bits behind it",
        ),
        (
            json!({"qos": {"egress": {"maxKbps": 63}}}),
            "spec.qos.egress.maxKbps",
        ),
    ];
    desk.rejects_all(port, &cases).await;
    let made = desk.accepts(&port(json!({}))).await;
    for (spec, says) in [
        (
            json!({"network": "back"}),
            "spec.network cannot be changed: make another port",
        ),
        (
            json!({"mac": "02:00:00:00:00:01"}),
            "spec.mac cannot be changed: make another port",
        ),
        (
            json!({"addresses": [{"ip": "10.0.0.5"}]}),
            "spec.addresses cannot be changed: a port keeps its addresses for its whole life",
        ),
    ] {
        desk.refuses_change(&made, json!({ "spec": spec }), says)
            .await;
    }
}

#[tokio::test]
async fn rules_that_make_no_sense_are_refused() {
    let desk = Desk::open().await;
    let rule = |rule: Value| json!({"rules": [with(json!({"direction": "Ingress"}), rule)]});
    let ports = "only Tcp, Udp and Sctp have ports: say protocol, or leave ports away";
    let icmp = "only Icmp and Icmpv6 have types and codes: say protocol, or leave icmp away";
    let cases = [
        (
            rule(json!({"protocol": "Icmp", "ports": {"from": 1, "to": 2}})),
            ports,
        ),
        (rule(json!({"ports": {"from": 1, "to": 2}})), ports),
        (
            rule(json!({"protocol": "Tcp", "ports": {"from": 443, "to": 80}})),
            "ports are upside down: from must not be above to",
        ),
        (
            rule(json!({"protocol": "Tcp", "ports": {"from": 0, "to": 80}})),
            "ports.from",
        ),
        (
            rule(json!({"protocol": "Tcp", "ports": {"from": 1, "to": 65536}})),
            "ports.to",
        ),
        (rule(json!({"protocol": "Tcp", "icmp": {"type": 8}})), icmp),
        (
            rule(json!({"cidr": "10.0.0.0/8", "group": "web"})),
            "a rule has cidr or group, not both",
        ),
        (
            rule(json!({"family": "IPv6", "cidr": "10.0.0.0/8"})),
            "family and cidr contradict each other",
        ),
        (
            rule(json!({"family": "IPv6", "protocol": "Icmp"})),
            "Icmp is of IPv4, and Icmpv6 of IPv6",
        ),
        (
            rule(json!({"cidr": "::/0", "protocol": "Icmp"})),
            "protocol and cidr contradict each other",
        ),
        (
            rule(json!({"cidr": "10.0.0.0/33"})),
            "cidr must be a prefix without bits behind it",
        ),
        (
            rule(json!({"protocol": "Gre"})),
            "Unsupported value: \"Gre\"",
        ),
        (
            rule(json!({"group": "A"})),
            "group must be the name of a SecurityGroup of this project",
        ),
        (
            json!({"rules": vec![json!({"direction": "Egress"}); 10_000]}),
            "spec.rules: Too many: 10000: must have at most 256 items",
        ),
    ];
    desk.rejects_all(group, &cases).await;
    let made = desk.accepts(&group(json!({}))).await;
    let says = "spec.stateful cannot be changed: make another group";
    desk.refuses_change(&made, json!({"spec": {"stateful": false}}), says)
        .await;
}

#[tokio::test]
async fn routers_and_floating_ips_that_make_no_sense_are_refused() {
    let desk = Desk::open().await;
    let cases = [
        (
            json!({"externalGateway": {"network": "a b"}}),
            "network must be the name of an external Network",
        ),
        (
            json!({"externalGateway": {"network": "a", "address": "b"}}),
            "address must be an IP address",
        ),
        (
            json!({"interfaces": [{"subnet": "A"}]}),
            "subnet must be the name of a Subnet",
        ),
        (
            json!({"interfaces": [{"subnet": "a"}, {"subnet": "a"}]}),
            "spec.interfaces[1]: Duplicate value",
        ),
        (
            json!({"routes": [{"to": "10.0.0.1/8", "via": "10.0.0.9"}]}),
            "to must be a prefix without bits behind it",
        ),
    ];
    desk.rejects_all(router, &cases).await;
    let several = "a floating IP is on a port, a server or a load balancer, not on several";
    let cases = [
        (json!({"port": "a", "server": "b"}), several),
        (json!({"server": "a", "loadBalancer": "b"}), several),
        (
            json!({"address": "203.0.113"}),
            "address must be an IP address",
        ),
        (
            json!({"fixedAddress": "x"}),
            "fixedAddress must be an IP address",
        ),
        (
            json!({"port": "A"}),
            "port must be the name of a Port of this project",
        ),
        (
            json!({"server": "A"}),
            "server must be the name of a Server of this project",
        ),
        (
            json!({"loadBalancer": "A"}),
            "loadBalancer must be the name of a LoadBalancer of this project",
        ),
    ];
    desk.rejects_all(floating, &cases).await;
    let made = desk.accepts(&floating(json!({}))).await;
    for (spec, says) in [
        (
            json!({"network": "other"}),
            "spec.network cannot be changed: make another floating IP",
        ),
        (
            json!({"address": "203.0.113.9"}),
            "spec.address cannot be changed: make another floating IP",
        ),
    ] {
        desk.refuses_change(&made, json!({ "spec": spec }), says)
            .await;
    }
    desk.changes(&made, json!({"spec": {"port": "web"}})).await;
}
