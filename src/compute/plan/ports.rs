//! A server's NICs: which Ports stand for `spec.networks`, what is made and deleted for them, and what they lack.
//!
//! Whoever has a Port's addresses is not decided here: that is the Port's own status, which the room of networks writes.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};

use crate::api::{
    condition,
    guest::{Guest, Nic},
    port::{AddressWish, OF_SERVER_LABEL, Port, PortSpec},
    server::{Server, ServerAddress, ServerNetwork},
    value::Sha256,
};

use super::{catalogue::IN_USE, server::Observed};

pub use trouble::Trouble;

mod trouble;

/// The most characters that an object's name has.
const NAME_MAX: usize = 253;

/// How many characters of a digest keep names apart that had to be cut.
const DIGEST_LENGTH: usize = 8;

/// What was found of a server's ports.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The ports that its networks name or make, and those that bear its label, by name.
    pub ports: BTreeMap<String, Arc<Port>>,
    /// Servers that still have a port of this server's plugged in, as `project/name`, by the port's UID.
    pub held: BTreeMap<String, String>,
}

/// One of a server's networks, and its port.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The port's name.
    pub name: String,
    /// The NIC that it makes, or why it makes none yet.
    pub nic: Result<Nic, Trouble>,
}

/// Every one of the server's networks, in their order.
pub fn entries(server: &Server, found: &Found) -> Vec<Entry> {
    let names: Vec<String> = names(server).collect();
    let networks = server.spec.networks.iter().zip(&names).enumerate();
    networks
        .map(|(place, (network, name))| Entry {
            name: name.clone(),
            nic: if names[..place].contains(name) {
                Err(Trouble::Twice(name.clone()))
            } else {
                nic(server, network, name, found)
            },
        })
        .collect()
}

/// The names of the ports of the server's networks, in their order.
pub fn names(server: &Server) -> impl Iterator<Item = String> {
    let networks = server.spec.networks.iter();
    networks.map(|network| port_name(server, network))
}

/// The name of the port that stands for a network of the server's.
fn port_name(server: &Server, network: &ServerNetwork) -> String {
    if let Some(port) = &network.port {
        return port.clone();
    }
    let of_network = network
        .network
        .as_ref()
        .map(|network| network.resolve("").1);
    let end = network.name.as_deref().or(of_network).unwrap_or_default();
    let name = format!("{}-{end}", server.name_any());
    if name.len() <= NAME_MAX {
        return name;
    }
    let digest = Sha256::of(&name);
    let cut: String = name.chars().take(NAME_MAX - DIGEST_LENGTH - 1).collect();
    let cut = cut.trim_end_matches(['-', '.']);
    format!("{cut}-{}", &digest.as_str()[..DIGEST_LENGTH])
}

/// The NIC of a port that is there and has its claim.
fn nic(
    server: &Server,
    network: &ServerNetwork,
    name: &str,
    found: &Found,
) -> Result<Nic, Trouble> {
    let shown = || format!("{}/{name}", server.namespace().unwrap_or_default());
    let brought = network.port.is_some();
    let Some(port) = found.ports.get(name) else {
        return Err(if brought {
            Trouble::Absent(shown())
        } else {
            Trouble::Unmade(shown())
        });
    };
    if !brought && !is_ours(server, port) {
        return Err(Trouble::Foreign(shown()));
    }
    if port.metadata.deletion_timestamp.is_some() {
        return Err(Trouble::Leaving {
            port: shown(),
            brought,
        });
    }
    let uid = port.uid().unwrap_or_default();
    let status = port.status.clone().unwrap_or_default();
    if let Some(other) = status
        .server
        .as_ref()
        .filter(|other| **other != server.name_any())
    {
        return Err(Trouble::Taken {
            port: shown(),
            server: other.clone(),
        });
    }
    if let Some(other) = found.held.get(&uid) {
        return Err(Trouble::Held {
            port: shown(),
            server: other.clone(),
        });
    }
    let has_addresses =
        !status.addresses.is_empty() || condition::holds(&status.conditions, "Allocated");
    match (status.mac, status.mtu, status.network, status.server) {
        (Some(mac), Some(mtu), Some(network), Some(_)) if has_addresses => Ok(Nic {
            port: uid,
            name: name.to_owned(),
            network,
            mac,
            mtu,
            addresses: status.addresses.iter().map(|address| address.ip).collect(),
            port_security: status.port_security.unwrap_or(true),
        }),
        _ => Err(Trouble::Waiting {
            port: shown(),
            why: said(port),
        }),
    }
}

/// What the port itself says is wrong with it.
fn said(port: &Port) -> Option<String> {
    let conditions = port.status.as_ref().map(|status| &status.conditions)?;
    let is_false = |kind| condition::find(conditions, kind).filter(|said| said.status != "True");
    let said = is_false("Allocated").or_else(|| is_false("Ready"))?;
    Some(said.message.clone())
}

/// Whether the port was made for this very server.
pub fn is_ours(server: &Server, port: &Port) -> bool {
    let uid = server.uid();
    let labelled = port.labels().get(OF_SERVER_LABEL) == uid.as_ref();
    let mut owners = port.owner_references().iter();
    labelled && owners.any(|owner| Some(&owner.uid) == uid.as_ref())
}

/// The ports that have to be made.
pub fn missing(server: &Server, entries: &[Entry]) -> Vec<Port> {
    let networks = server.spec.networks.iter().zip(entries);
    networks
        .filter(|(_, entry)| matches!(entry.nic, Err(Trouble::Unmade(_))))
        .filter_map(|(network, entry)| make(server, network, &entry.name))
        .collect()
}

fn make(server: &Server, network: &ServerNetwork, name: &str) -> Option<Port> {
    let spec = PortSpec {
        description: None,
        network: network.network.clone()?,
        addresses: network
            .addresses
            .iter()
            .map(|ip| AddressWish {
                subnet: None,
                ip: Some(*ip),
            })
            .collect(),
        mac: None,
        security_groups: network.security_groups.clone(),
        port_security: None,
        allowed_address_pairs: Vec::new(),
        qos: None,
        enabled: true,
    };
    let uid = server.uid()?;
    let owner = OwnerReference {
        api_version: Server::api_version(&()).into_owned(),
        kind: Server::kind(&()).into_owned(),
        name: server.name_any(),
        uid: uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: server.namespace(),
        labels: Some([(OF_SERVER_LABEL.to_owned(), uid)].into()),
        // It is its server's from the first moment: to say so later would be a write of its own.
        finalizers: Some(vec![IN_USE.to_owned()]),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    };
    Some(Port {
        metadata,
        spec,
        status: None,
    })
}

/// The ports that were made for the server and are of no use any more: its guest has let go of them, or never had them.
pub fn superfluous(server: &Server, found: &Found, guest: Option<&Guest>) -> Vec<Arc<Port>> {
    let stays: Vec<String> = if server.metadata.deletion_timestamp.is_some() {
        Vec::new()
    } else {
        let made = server.spec.networks.iter();
        let made = made.filter(|network| network.port.is_none());
        made.map(|network| port_name(server, network)).collect()
    };
    let ports = found.ports.values();
    ports
        .filter(|port| is_ours(server, port) && port.metadata.deletion_timestamp.is_none())
        .filter(|port| !stays.contains(&port.name_any()))
        .filter(|port| guest.is_none_or(|guest| has_let_go(guest, &port.uid().unwrap_or_default())))
        .map(Arc::clone)
        .collect()
}

/// Whether the guest shall not have the NIC of this port, and its node has said since that it has not.
fn has_let_go(guest: &Guest, port: &str) -> bool {
    let told = guest.spec.nics.iter().any(|nic| nic.port == port);
    let heard = guest.status.as_ref().is_some_and(|status| {
        status.observed_generation == guest.metadata.generation
            && !status.nics.iter().any(|plugged| plugged == port)
    });
    !told && heard
}

/// The NICs that a guest with those of `told` shall have: NICs that stay keep their places, new ones come last. One whose
/// port is in trouble stays until another takes its place: what is not known is not taken away.
pub fn nics(entries: &[Entry], told: &[Nic]) -> Vec<Nic> {
    let stays = |nic: &Nic| {
        let entry = entries.iter().find(|entry| entry.name == nic.name)?;
        match &entry.nic {
            Ok(now) if now.port == nic.port => Some(now.clone()),
            Ok(_) => None,
            Err(_) => Some(nic.clone()),
        }
    };
    let mut nics: Vec<Nic> = told.iter().filter_map(stays).collect();
    for new in entries.iter().filter_map(|entry| entry.nic.as_ref().ok()) {
        if !nics.iter().any(|nic| nic.port == new.port) {
            nics.push(new.clone());
        }
    }
    nics
}

/// The first thing that is wrong with the server's networks; what somebody must mend goes before what passes.
pub fn trouble(entries: &[Entry]) -> Option<&Trouble> {
    let troubles = || entries.iter().filter_map(|entry| entry.nic.as_ref().err());
    troubles()
        .find(|trouble| trouble.stalls())
        .or_else(|| troubles().next())
}

/// The server's addresses, in the order of its networks.
pub fn addresses(server: &Server, observed: &Observed) -> Vec<ServerAddress> {
    let home = server.namespace().unwrap_or_default();
    let of_port = |port: &Arc<Port>| -> Vec<ServerAddress> {
        let (project, network) = port.spec.network.resolve(&home);
        let Some(status) = &port.status else {
            return Vec::new();
        };
        let Some(mac) = status.mac else {
            return Vec::new();
        };
        let network = format!("{project}/{network}");
        let addresses = status.addresses.iter();
        addresses
            .map(|address| ServerAddress {
                network: network.clone(),
                port: port.name_any(),
                mac,
                ip: address.ip,
            })
            .collect()
    };
    let name = server.name_any();
    let ports = names(server).filter_map(|name| observed.ports.ports.get(&name).cloned());
    let ours = ports.filter(|port| {
        let status = port.status.as_ref();
        status.and_then(|status| status.server.as_deref()) == Some(name.as_str())
    });
    ours.flat_map(|port| of_port(&port)).collect()
}

#[cfg(test)]
mod tests;
