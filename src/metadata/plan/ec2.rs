//! What EC2's clients find below a version: `meta-data/` and `user-data`.
//!
//! Only what is true is there. A guest has no name of an instance type, no zone and no AMI here.

use std::net::IpAddr;

use crate::api::guest::Nic;

use super::{
    instance::Instance,
    tree::{Entry, Form, Tree},
};

/// The versions that clients ask for, cloud-init's among them; `latest` beside them. All have the same content: what a
/// later one adds harms nobody who asks for an earlier one.
pub const VERSIONS: [&str; 12] = [
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2016-09-02",
    "2018-09-24",
    "2021-03-23",
];

/// What is below a version.
pub fn tree(instance: &Instance) -> Tree<'_> {
    Tree::Folder(vec![
        Entry::folder("meta-data", meta_data(instance)),
        Entry::new(
            "user-data",
            Tree::Leaf(Form::Bytes, instance.user_data.as_slice().into()),
        ),
    ])
}

fn meta_data(instance: &Instance) -> Vec<Entry<'_>> {
    let mut entries = vec![
        Entry::text("hostname", &*instance.hostname),
        Entry::text("instance-id", &*instance.id),
        Entry::text("local-hostname", &*instance.hostname),
    ];
    if let Some(nic) = instance.nics.first() {
        if let Some(address) = addresses(nic, false).first() {
            entries.push(Entry::text("local-ipv4", address.clone()));
        }
        entries.push(Entry::text("mac", nic.mac.to_string()));
    }
    if !instance.nics.is_empty() {
        let nics = instance.nics.iter().enumerate();
        let macs = nics.map(|(number, nic)| interface(number, nic)).collect();
        let interfaces = vec![Entry::folder("macs", macs)];
        let network = vec![Entry::folder("interfaces", interfaces)];
        entries.push(Entry::folder("network", network));
    }
    if !instance.public_keys.is_empty() {
        let keys = instance.public_keys.iter().enumerate();
        let keys = keys.map(|(number, key)| public_key(number, key)).collect();
        entries.push(Entry::folder("public-keys", keys));
    }
    entries
}

/// Keys have no names here, as EC2 would list them.
fn public_key(number: usize, key: &str) -> Entry<'_> {
    let folder = Tree::Folder(vec![Entry::text("openssh-key", key)]);
    Entry::labelled(
        number.to_string(),
        format!("{number}={}", key_name(number)),
        folder,
    )
}

/// What stands where a key's name is wanted.
pub(super) fn key_name(number: usize) -> String {
    format!("key-{number}")
}

fn interface(number: usize, nic: &Nic) -> Entry<'_> {
    let mac = nic.mac.to_string();
    let mut entries = vec![
        Entry::text("device-number", number.to_string()),
        Entry::text("interface-id", &*nic.port),
    ];
    let (four, six) = (addresses(nic, false), addresses(nic, true));
    if !six.is_empty() {
        entries.push(Entry::text("ipv6s", six.join("\n")));
    }
    if !four.is_empty() {
        entries.push(Entry::text("local-ipv4s", four.join("\n")));
    }
    entries.push(Entry::text("mac", mac.clone()));
    Entry::folder(mac, entries)
}

fn addresses(nic: &Nic, of_ipv6: bool) -> Vec<String> {
    let addresses = nic.addresses.iter();
    let wanted = addresses.filter(|address: &&IpAddr| address.is_ipv6() == of_ipv6);
    wanted.map(ToString::to_string).collect()
}
