//! Decides which certificates there shall be, whether one that is there will do, and until when.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::ResourceExt;

use crate::api::{certificate, node_namespace};

/// How long an authority's certificate lives: ten years.
pub const AUTHORITY_LIFE: Duration = Duration::from_hours(24 * 3652);

/// How long the others live: 90 days.
pub const LIFE: Duration = Duration::from_hours(24 * 90);

/// By how much a certificate is older than it is: nobody's clock may find that it is not good yet.
const CLOCK_SKEW_MAX: Duration = Duration::from_hours(1);

/// What an authority is called.
pub const AUTHORITY_NAME: &str = "Kilonova OVN authority";

/// A certificate that there shall be, and the Secret that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where the Secret is.
    pub namespace: String,
    /// What it is called.
    pub name: String,
    /// Who is certified. OVN lets a node change the chassis of this name, and no other.
    pub common_name: String,
    /// Under which names it is reached.
    pub names: Vec<String>,
    /// What else its Secret says.
    pub more: BTreeMap<&'static str, String>,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Who is certified.
    pub common_name: String,
    /// Under which names it is reached.
    pub names: Vec<String>,
    /// From when it is good.
    pub begins: Timestamp,
    /// Until when.
    pub ends: Timestamp,
}

/// What is to be done about a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing before this time.
    Good(Timestamp),
    /// Its certificate will do; something else that it says will not.
    Tell(Timestamp),
    /// A new certificate, for this reason.
    Issue(&'static str),
}

/// When a certificate is due to be issued anew: at two thirds of its life, so that one third is left for trouble.
pub fn due(said: &Said) -> Timestamp {
    let life = said.ends.duration_since(said.begins);
    said.begins + life * 2 / 3
}

/// From when to when a certificate that is made now is good.
pub fn span(now: Timestamp, life: Duration) -> (Timestamp, Timestamp) {
    // Of a short life, most has to be left.
    let earlier = CLOCK_SKEW_MAX.min(life / 10);
    (
        now.saturating_sub(earlier).unwrap_or(now),
        now.saturating_add(life).unwrap_or(Timestamp::MAX),
    )
}

/// Whether a Secret that is there, and what its certificate says if that can be read, will do.
pub fn judge(
    wanted: &Wanted,
    found: Option<&Secret>,
    said: Option<&Said>,
    authority: &str,
    now: Timestamp,
) -> Verdict {
    let Some(found) = found else {
        return Verdict::Issue("there is none");
    };
    let Some(said) = said.filter(|_| certificate::text(found, certificate::KEY).is_some()) else {
        return Verdict::Issue("it cannot be read");
    };
    if certificate::text(found, certificate::CA_CERTIFICATE) != Some(authority) {
        return Verdict::Issue("the authority has another certificate");
    }
    if said.common_name != wanted.common_name || said.names != wanted.names {
        return Verdict::Issue("it is of other names");
    }
    let due = due(said);
    if due <= now {
        return Verdict::Issue("it has lived for two thirds of its life");
    }
    let is_told = wanted
        .more
        .iter()
        .all(|(key, text)| certificate::text(found, key) == Some(text));
    if is_told {
        Verdict::Good(due)
    } else {
        Verdict::Tell(due)
    }
}

/// The Secret of a certificate.
pub fn secret(wanted: &Wanted, authority: &str, certificate_pem: &str, key_pem: &str) -> Secret {
    let mut texts = vec![
        (certificate::CA_CERTIFICATE, authority),
        (certificate::CERTIFICATE, certificate_pem),
        (certificate::KEY, key_pem),
    ];
    texts.extend(wanted.more.iter().map(|(key, text)| (*key, text.as_str())));
    certificate::secret(&wanted.namespace, &wanted.name, texts)
}

/// What is wanted for the databases, which are reached under these names, and for the operator.
pub fn central(namespace: &str, names: &[String]) -> [Wanted; 2] {
    let wanted = |name: &str, common_name: &str, names: &[String]| Wanted {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        common_name: common_name.to_owned(),
        names: names.to_vec(),
        more: BTreeMap::new(),
    };
    [
        wanted(certificate::DATABASE, "kilonova-ovn", names),
        wanted(certificate::OPERATOR, "kilonova-operator", &[]),
    ]
}

/// What is wanted for a hypervisor that finds the southbound database there.
pub fn node(name: &str, node: Option<&Node>, remote: &str) -> Wanted {
    let mut more = BTreeMap::from([(certificate::REMOTE, remote.to_owned())]);
    if let Some(address) = node.and_then(underlay_address) {
        more.insert(certificate::UNDERLAY_ADDRESS, address);
    }
    Wanted {
        namespace: node_namespace(name),
        name: certificate::NODE.to_owned(),
        common_name: name.to_owned(),
        names: Vec::new(),
        more,
    }
}

/// Where tunnels to a node end: as its annotation says, else where the cluster reaches it.
fn underlay_address(node: &Node) -> Option<String> {
    if let Some(address) = node.annotations().get(certificate::UNDERLAY_ANNOTATION) {
        return Some(address.clone());
    }
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let internal = addresses
        .iter()
        .find(|address| address.type_ == "InternalIP")?;
    Some(internal.address.clone())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{NodeAddress, NodeStatus};

    use super::*;

    const AUTHORITY: &str = "authority";

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * 3600).unwrap()
    }

    fn said(wanted: &Wanted) -> Said {
        Said {
            common_name: wanted.common_name.clone(),
            names: wanted.names.clone(),
            begins: at(0),
            ends: at(90),
        }
    }

    fn n1() -> Wanted {
        node("n1", None, "ssl:10.96.0.7:6642")
    }

    #[test]
    fn a_certificate_is_issued_when_there_is_none_and_at_two_thirds_of_its_life() {
        let wanted = n1();
        let found = secret(&wanted, AUTHORITY, "certificate", "key");
        let judged = |said: Option<&Said>, now| judge(&wanted, Some(&found), said, AUTHORITY, now);
        let said = said(&wanted);
        assert_eq!(judged(Some(&said), at(59)), Verdict::Good(at(60)));
        assert!(matches!(judged(Some(&said), at(60)), Verdict::Issue(_)));
        assert!(matches!(judged(None, at(1)), Verdict::Issue(_)));
        let none = judge(&wanted, None, None, AUTHORITY, at(1));
        assert_eq!(none, Verdict::Issue("there is none"));
    }

    #[test]
    fn what_must_be_said_decides_whether_a_certificate_will_do() {
        let wanted = n1();
        let found = secret(&wanted, AUTHORITY, "certificate", "key");
        let said = said(&wanted);
        let other = judge(&wanted, Some(&found), Some(&said), "another", at(1));
        assert_eq!(
            other,
            Verdict::Issue("the authority has another certificate")
        );
        let renamed = Wanted {
            common_name: "n2".to_owned(),
            ..wanted.clone()
        };
        let renamed = judge(&renamed, Some(&found), Some(&said), AUTHORITY, at(1));
        assert_eq!(renamed, Verdict::Issue("it is of other names"));
        // Where the database is says nothing of who the node is.
        let moved = node("n1", None, "ssl:10.96.0.8:6642");
        let moved = judge(&moved, Some(&found), Some(&said), AUTHORITY, at(1));
        assert_eq!(moved, Verdict::Tell(at(60)));
    }

    #[test]
    fn a_new_certificate_is_not_due_and_good_to_clocks_that_are_behind() {
        for life in [LIFE, Duration::from_mins(2)] {
            let (begins, ends) = span(at(1000), life);
            let said = Said {
                begins,
                ends,
                ..said(&n1())
            };
            assert!(begins < at(1000) && due(&said) > at(1000) + life / 2);
        }
    }

    #[test]
    fn a_node_is_told_where_its_tunnels_end() {
        let mut kubernetes = Node::default();
        let told = |kubernetes: &Node| {
            let wanted = node("n1", Some(kubernetes), "");
            wanted.more.get(certificate::UNDERLAY_ADDRESS).cloned()
        };
        assert_eq!(told(&kubernetes), None);
        let address = |type_: &str, address: &str| NodeAddress {
            type_: type_.to_owned(),
            address: address.to_owned(),
        };
        kubernetes.status = Some(NodeStatus {
            addresses: Some(vec![
                address("Hostname", "n1"),
                address("InternalIP", "10.0.0.1"),
            ]),
            ..NodeStatus::default()
        });
        assert_eq!(told(&kubernetes).as_deref(), Some("10.0.0.1"));
        let annotation = (
            certificate::UNDERLAY_ANNOTATION.to_owned(),
            "10.9.0.1".to_owned(),
        );
        kubernetes.metadata.annotations = Some([annotation].into());
        assert_eq!(told(&kubernetes).as_deref(), Some("10.9.0.1"));
    }
}
