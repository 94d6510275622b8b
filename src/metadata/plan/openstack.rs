//! What OpenStack's clients find below `/openstack`.
//!
//! Only what is true is there: no zone, no admin password, and of networks only what the guest's node knows of them.

use serde_json::{Map, Value, json};

use super::{
    ec2::key_name,
    instance::Instance,
    tree::{Entry, Form, Tree},
};

/// The versions that clients ask for, with `latest` beside them.
pub const VERSIONS: [&str; 10] = [
    "2012-08-10",
    "2013-04-04",
    "2013-10-17",
    "2015-10-15",
    "2016-06-30",
    "2016-10-06",
    "2017-02-22",
    "2018-08-27",
    "2020-10-14",
    "latest",
];

/// Since when there are vendor's data, the network's, and the vendor's second: cloud-init looks for none before.
const VENDOR_DATA: &str = "2013-10-17";
const NETWORK_DATA: &str = "2015-10-15";
const VENDOR_DATA_2: &str = "2016-10-06";

/// What is below a version. (Letters come after digits, so that `latest` is the last of them.)
pub fn tree<'a>(instance: &'a Instance, version: &str) -> Tree<'a> {
    let mut entries = vec![
        json_file("meta_data.json", &meta_data(instance)),
        Entry::new(
            "user_data",
            Tree::Leaf(Form::Bytes, instance.user_data.as_slice().into()),
        ),
    ];
    let rest = [
        (VENDOR_DATA, "vendor_data.json", json!({})),
        (NETWORK_DATA, "network_data.json", network_data(instance)),
        (VENDOR_DATA_2, "vendor_data2.json", json!({})),
    ];
    for (since, name, document) in rest {
        if version >= since {
            entries.push(json_file(name, &document));
        }
    }
    Tree::Folder(entries)
}

fn json_file<'a>(name: &'a str, document: &Value) -> Entry<'a> {
    let bytes = document.to_string().into_bytes();
    Entry::new(name, Tree::Leaf(Form::Json, bytes.into()))
}

fn meta_data(instance: &Instance) -> Value {
    let keys = || instance.public_keys.iter().enumerate();
    let by_name: Map<String, Value> = keys()
        .map(|(number, key)| (key_name(number), json!(key)))
        .collect();
    let listed: Vec<Value> = keys()
        .map(|(number, key)| json!({"name": key_name(number), "type": "ssh", "data": key}))
        .collect();
    json!({
        "uuid": instance.id,
        "name": instance.name,
        "hostname": instance.hostname,
        "project_id": instance.project,
        "launch_index": 0,
        "public_keys": by_name,
        "keys": listed,
    })
}

/// IPv6 is left to router advertisements, which say what a node does not know: whether addresses come by DHCP.
fn network_data(instance: &Instance) -> Value {
    let mut links = Vec::new();
    let mut networks = Vec::new();
    for (number, nic) in instance.nics.iter().enumerate() {
        links.push(json!({
            "id": nic.port,
            "vif_id": nic.port,
            "type": "ovs",
            "mtu": nic.mtu,
            "ethernet_mac_address": nic.mac,
        }));
        if nic.addresses.iter().any(std::net::IpAddr::is_ipv4) {
            networks.push(json!({
                "id": format!("network{number}"),
                "type": "ipv4_dhcp",
                "link": nic.port,
                "network_id": nic.network,
            }));
        }
    }
    json!({"links": links, "networks": networks, "services": []})
}
