//! Decides what has to be written into the database of the host's switch so that OVN knows the node, and what must be left
//! alone because it is the administrator's.

use std::collections::{BTreeMap, BTreeSet};

use crate::ovsdb::vswitch::{Texts, settled::Ssl};

/// Which of the keys below this program has set, with commas between them.
pub const MARK: &str = "kilonova.dev/set";

const NAME: &str = "system-id";
const REMOTE: &str = "ovn-remote";
const ENCAP_TYPE: &str = "ovn-encap-type";
const ENCAP_ADDRESS: &str = "ovn-encap-ip";
/// Not a key, but marked as those are.
const CERTIFICATES: &str = "ssl";

/// What the switch shall say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The node's name.
    pub node: String,
    /// Where OVN's southbound database is.
    pub remote: String,
    /// Where tunnels to the node end, if that is known.
    pub underlay_address: Option<String>,
    /// The files by which it is known.
    pub files: Ssl,
}

/// What is to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Keys of `external_ids`, with the mark.
    pub texts: Texts,
    /// Whether the files are to be named.
    pub names_files: bool,
    /// What an administrator should know: what was left alone, and why.
    pub left_alone: Vec<String>,
}

impl Decision {
    /// Whether nothing is to be written.
    pub fn is_nothing(&self) -> bool {
        self.texts.is_empty() && !self.names_files
    }
}

/// Compares what the switch says with what it shall say.
pub fn decide(wanted: &Wanted, found: &Texts, files: Option<&Ssl>) -> Decision {
    let mut marked: BTreeSet<&str> = found
        .get(MARK)
        .map(|keys| keys.split(',').filter(|key| !key.is_empty()).collect())
        .unwrap_or_default();
    let before = marked.clone();
    if let Some(why) = is_anothers(wanted, found, &marked) {
        return Decision {
            left_alone: vec![why],
            ..Decision::default()
        };
    }
    let mut decision = Decision::default();
    let mut shall = BTreeMap::from([
        (NAME, wanted.node.as_str()),
        (REMOTE, wanted.remote.as_str()),
        (ENCAP_TYPE, "geneve"),
    ]);
    if let Some(address) = &wanted.underlay_address {
        shall.insert(ENCAP_ADDRESS, address);
    }
    for (key, value) in shall {
        match found.get(key) {
            Some(there) if there == value => {}
            // That is the name that Open vSwitch's start script has thrown dice for.
            Some(_) if key != NAME && !marked.contains(key) => {
                // What administrators choose for their hosts is no news, but for another OVN than ours.
                if key == REMOTE {
                    decision.left_alone.push(format!(
                        "Open vSwitch's external_ids:{REMOTE} was set by somebody else and stays as it is, though OVN is \
                         at {value}: `ovs-vsctl remove Open_vSwitch . external_ids {REMOTE}` leaves it to the agent"
                    ));
                }
            }
            _ => {
                decision.texts.insert(key.to_owned(), value.to_owned());
                marked.insert(key);
            }
        }
    }
    match files {
        Some(there) if same_files(there, &wanted.files) => {}
        Some(there) if !marked.contains(CERTIFICATES) => decision.left_alone.push(format!(
            "Open vSwitch has a certificate of somebody else's ({}), which stays: `ovs-vsctl del-ssl` leaves it to the \
             agent",
            there.certificate
        )),
        _ => {
            decision.names_files = true;
            marked.insert(CERTIFICATES);
        }
    }
    if marked != before {
        let keys: Vec<&str> = marked.into_iter().collect();
        decision.texts.insert(MARK.to_owned(), keys.join(","));
    }
    decision
}

/// Why the host belongs to somebody else's OVN, if it does: one that has a name and an OVN, both not from here.
fn is_anothers(wanted: &Wanted, found: &Texts, marked: &BTreeSet<&str>) -> Option<String> {
    let name = found.get(NAME).filter(|name| **name != wanted.node)?;
    let remote = found.get(REMOTE)?;
    if marked.contains(NAME) || marked.contains(REMOTE) {
        return None;
    }
    Some(format!(
        "the host is {name:?} to the OVN at {remote}, and has to be {node:?} to serve this cluster: take it out there, then \
         `ovs-vsctl set Open_vSwitch . external_ids:{NAME}={node}`, and the same name into \
         /etc/openvswitch/system-id.conf",
        node = wanted.node
    ))
}

fn same_files(a: &Ssl, b: &Ssl) -> bool {
    (&a.private_key, &a.certificate, &a.ca_cert) == (&b.private_key, &b.certificate, &b.ca_cert)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &str) -> Ssl {
        Ssl {
            private_key: format!("{folder}/tls.key"),
            certificate: format!("{folder}/tls.crt"),
            ca_cert: format!("{folder}/ca.crt"),
            ..Ssl::default()
        }
    }

    fn wanted() -> Wanted {
        Wanted {
            node: "n1".to_owned(),
            remote: "ssl:10.96.0.7:6642".to_owned(),
            underlay_address: Some("10.0.0.1".to_owned()),
            files: files("/var/lib/kilonova/ovn"),
        }
    }

    fn texts(pairs: &[(&str, &str)]) -> Texts {
        let owned = |(key, text): &(&str, &str)| ((*key).to_owned(), (*text).to_owned());
        pairs.iter().map(owned).collect()
    }

    /// What the switch says when the decision was carried out.
    fn after(mut found: Texts, decision: &Decision) -> Texts {
        found.extend(decision.texts.clone());
        found
    }

    #[test]
    fn a_fresh_host_is_told_everything_once() {
        // As Open vSwitch's start script leaves it.
        let found = texts(&[("system-id", "2d5c…"), ("hostname", "n1")]);
        let decision = decide(&wanted(), &found, None);
        let expected = texts(&[
            ("system-id", "n1"),
            ("ovn-remote", "ssl:10.96.0.7:6642"),
            ("ovn-encap-type", "geneve"),
            ("ovn-encap-ip", "10.0.0.1"),
            (MARK, "ovn-encap-ip,ovn-encap-type,ovn-remote,ssl,system-id"),
        ]);
        assert_eq!((&decision.texts, decision.names_files), (&expected, true));
        let found = after(found, &decision);
        let again = decide(&wanted(), &found, Some(&wanted().files));
        assert_eq!(again, Decision::default());
    }

    #[test]
    fn what_is_ours_follows_and_is_put_back() {
        let found = after(Texts::new(), &decide(&wanted(), &Texts::new(), None));
        let moved = Wanted {
            remote: "ssl:10.96.0.8:6642".to_owned(),
            underlay_address: Some("10.0.0.2".to_owned()),
            files: files("/srv/kilonova/ovn"),
            ..wanted()
        };
        let decision = decide(&moved, &found, Some(&wanted().files));
        let expected = texts(&[
            ("ovn-remote", "ssl:10.96.0.8:6642"),
            ("ovn-encap-ip", "10.0.0.2"),
        ]);
        assert_eq!((&decision.texts, decision.names_files), (&expected, true));
        // The start script throws dice again.
        let mut rebooted = found;
        rebooted.insert("system-id".to_owned(), "2d5c…".to_owned());
        let decision = decide(&wanted(), &rebooted, Some(&wanted().files));
        assert_eq!(decision.texts, texts(&[("system-id", "n1")]));
    }

    #[test]
    fn what_an_administrator_has_set_stays() {
        let found = texts(&[
            ("system-id", "n1"),
            ("ovn-remote", "tcp:192.0.2.1:6642"),
            ("ovn-encap-type", "vxlan"),
            ("ovn-encap-ip", "10.9.0.1"),
        ]);
        let decision = decide(&wanted(), &found, Some(&files("/etc/openvswitch")));
        assert!(decision.is_nothing(), "{decision:?}");
        let [remote, certificate] = &decision.left_alone[..] else {
            panic!("{decision:?}");
        };
        assert!(remote.contains("ovn-remote") && certificate.contains("/etc/openvswitch/tls.crt"));
    }

    #[test]
    fn a_host_of_another_ovn_is_left_alone() {
        let found = texts(&[
            ("system-id", "compute-7"),
            ("ovn-remote", "tcp:192.0.2.1:6642"),
        ]);
        let decision = decide(&wanted(), &found, None);
        assert!(decision.is_nothing());
        assert!(decision.left_alone[0].contains("\"compute-7\" to the OVN at tcp:192.0.2.1:6642"));
    }
}
