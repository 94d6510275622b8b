//! The conditions `OpenVswitchReady` and `NetworkReady`: the host's switch answers, and OVN has it in hand.
//!
//! Whether OVN's controller is connected to the southbound database is not in the switch's database: that is told by what
//! becomes of ports.

use std::collections::BTreeMap;

use crate::{
    api::{
        condition::{Fact, Truth},
        hypervisor::HypervisorNetwork,
    },
    node::plan::domain::INTEGRATION_BRIDGE,
};

use super::{Socket, SocketState};

const SWITCH: &str = "OpenVswitchReady";
const NETWORK: &str = "NetworkReady";

/// The longest text of a host's own making that is passed on.
const TEXT_MAX: usize = 63;

/// What the host's switch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Its database is read.
    Answers(Facts),
    /// It is not.
    Silent {
        /// What was said instead.
        why: String,
        /// Its socket.
        socket: Socket,
    },
}

/// What is in the switch's database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// What OVN's controller is configured by.
    pub external_ids: BTreeMap<String, String>,
    /// Whether the integration bridge is there.
    pub has_bridge: bool,
    /// Why guests cannot be kept from playing router, and what to do; none while they can.
    pub unguarded: Option<String>,
}

impl Facts {
    fn get(&self, key: &str) -> Option<&str> {
        let text = self.external_ids.get(key).map(|text| text.trim());
        text.filter(|text| !text.is_empty())
    }

    /// The integration bridge's name here, which must be the one that guests are plugged into.
    fn bridge(&self) -> &str {
        self.get("ovn-bridge").unwrap_or(INTEGRATION_BRIDGE)
    }
}

/// Where the host stands in the cloud's network; none while its switch does not say.
pub(super) fn standing(switch: &Switch) -> Option<HypervisorNetwork> {
    let Switch::Answers(facts) = switch else {
        return None;
    };
    let mappings = facts.get("ovn-bridge-mappings").unwrap_or_default();
    let mut networks: Vec<String> = mappings
        .split(',')
        .filter_map(|mapping| mapping.split_once(':'))
        .map(|(network, _)| network.trim().to_owned())
        .filter(|network| !network.is_empty() && network.len() <= TEXT_MAX)
        .collect();
    networks.sort();
    networks.dedup();
    Some(HypervisorNetwork {
        chassis: facts.get("system-id")?.to_owned(),
        physical_networks: networks,
        encap_address: facts.get("ovn-encap-ip").map(str::to_owned),
    })
}

/// Both conditions.
pub(super) fn facts(switch: &Switch, node: &str) -> [Fact; 2] {
    match switch {
        Switch::Silent { why, socket } => {
            let silent = silence(why, socket);
            let message = "Open vSwitch does not answer: the condition OpenVswitchReady says what to do. Servers without \
                           networks do not need it";
            [silent, Fact::no(NETWORK, "OpenVswitchNotReady", message)]
        }
        Switch::Answers(facts) => {
            let answers = Fact::yes(SWITCH, "Answers", "Open vSwitch answers");
            [answers, network(facts, node)]
        }
    }
}

/// What is wrong with the host's switch, for who wants to plug a NIC in.
pub fn trouble(switch: &Switch, node: &str) -> Option<String> {
    let facts = facts(switch, node);
    let wrong = facts.into_iter().find(|fact| fact.truth != Truth::True);
    wrong.map(|fact| fact.message)
}

fn silence(why: &str, socket: &Socket) -> Fact {
    let path = socket.path.display();
    match socket.state {
        SocketState::Absent => Fact::no(
            SWITCH,
            "NotFound",
            format!(
                "Open vSwitch does not run on the host: there is no socket {path}. Servers without networks do not need \
                 it. Debian: `apt install openvswitch-switch`; Fedora, RHEL: `dnf install openvswitch && systemctl enable \
                 --now openvswitch`"
            ),
        ),
        SocketState::Removed => Fact::no(
            SWITCH,
            "Removed",
            format!(
                "the folder of Open vSwitch's socket {path} was removed on the host, and the agent's pod still has the \
                 old one, in which nothing can appear: see that Open vSwitch runs, then delete the agent's pod of this \
                 node (`kubectl get pods -A -o wide -l app.kubernetes.io/component=agent`). Guests run on meanwhile"
            ),
        ),
        SocketState::Forbidden => Fact::no(
            SWITCH,
            "Forbidden",
            format!(
                "Open vSwitch's socket {path} is there, and the agent may not use it: it must run as root, in a pod with \
                 the SELinux type spc_t if the host has SELinux"
            ),
        ),
        SocketState::Dead => Fact::no(
            SWITCH,
            "NotRunning",
            format!(
                "Open vSwitch's socket {path} is there, and nobody listens at it: `systemctl restart openvswitch-switch` \
                 (openvswitch on Fedora and RHEL)"
            ),
        ),
        SocketState::Listens => Fact::no(
            SWITCH,
            "Silent",
            format!(
                "Open vSwitch's socket {path} is there, and its database cannot be read: look at `systemctl status \
                 openvswitch-switch` and `journalctl -u ovsdb-server` ({why})"
            ),
        ),
    }
}

fn network(facts: &Facts, node: &str) -> Fact {
    let no = |reason: &'static str, message: String| Fact::no(NETWORK, reason, message);
    let set = |key: &str, value: &str| {
        format!("`ovs-vsctl set open_vswitch . external_ids:{key}={value}`")
    };
    let lacking = |key: &str, what: &str, value: &str| {
        let reason = "NotConfigured";
        no(
            reason,
            format!("OVN's controller is not told {what}: {}", set(key, value)),
        )
    };
    match facts.get("system-id") {
        None => return lacking("system-id", "who this host is", node),
        Some(name) if name != node => {
            let message = format!(
                "OVN knows this host as {name:?}, and must know it by its node's name: {}; and remove what made the other \
                 name, such as /etc/openvswitch/system-id.conf, or it comes back at the next boot",
                set("system-id", node)
            );
            return no("WrongChassis", message);
        }
        Some(_) => {}
    }
    if facts.get("ovn-remote").is_none() {
        let value = "ssl:ADDRESS:6642";
        return lacking("ovn-remote", "where the southbound database is", value);
    }
    if facts.get("ovn-encap-ip").is_none() {
        let what = "at which of the host's addresses others reach it";
        return lacking("ovn-encap-ip", what, "ADDRESS");
    }
    if facts.get("ovn-encap-type").is_none() {
        return lacking(
            "ovn-encap-type",
            "how packets travel between hosts",
            "geneve",
        );
    }
    if facts.bridge() != INTEGRATION_BRIDGE {
        let message = format!(
            "OVN's controller works on bridge {:?}, and guests are plugged into {INTEGRATION_BRIDGE}: \
             `ovs-vsctl remove open_vswitch . external_ids ovn-bridge`",
            facts.bridge()
        );
        return no("WrongBridge", message);
    }
    if !facts.has_bridge {
        let message = format!(
            "there is no bridge {INTEGRATION_BRIDGE}, which OVN's controller makes when it starts: Debian: `apt install \
             ovn-host`; Fedora, RHEL: `dnf install ovn-host && systemctl enable --now ovn-controller`; `journalctl -u \
             ovn-controller` says why one that runs does not make it"
        );
        return no("NoBridge", message);
    }
    if let Some(why) = &facts.unguarded {
        return no("Unguarded", why.clone());
    }
    Fact::yes(
        NETWORK,
        "Configured",
        format!("OVN knows the host by its name, and bridge {INTEGRATION_BRIDGE} is there"),
    )
}

#[cfg(test)]
pub(super) mod tests;
