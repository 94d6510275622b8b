//! What a host's network lacks, in the very words that an administrator reads.

use super::*;

/// A switch that OVN has in hand.
pub fn configured() -> Facts {
    let ids = [
        ("system-id", "n1"),
        ("ovn-remote", "ssl:192.0.2.1:6642"),
        ("ovn-encap-type", "geneve"),
        ("ovn-encap-ip", "192.0.2.11"),
        (
            "ovn-bridge-mappings",
            "public:br-ex, storage:br-st,:br-x,nonsense",
        ),
    ];
    let ids = ids.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Facts {
        external_ids: ids.into(),
        has_bridge: true,
        unguarded: None,
    }
}

/// A switch that does not answer.
pub fn silent(state: SocketState) -> Switch {
    Switch::Silent {
        why: "no answer".to_owned(),
        socket: Socket {
            path: super::super::OPEN_VSWITCH_SOCKET.into(),
            state,
        },
    }
}

fn without(key: &str) -> Facts {
    let mut facts = configured();
    facts.external_ids.remove(key);
    facts
}

fn with(key: &str, value: &str) -> Facts {
    let mut facts = configured();
    facts.external_ids.insert(key.to_owned(), value.to_owned());
    facts
}

#[test]
fn where_the_host_stands_is_told() {
    let standing = standing(&Switch::Answers(configured())).unwrap();
    assert_eq!(standing.chassis, "n1");
    assert_eq!(standing.physical_networks, ["public", "storage"]);
    assert_eq!(standing.encap_address.as_deref(), Some("192.0.2.11"));
    assert_eq!(super::standing(&silent(SocketState::Absent)), None);
    assert_eq!(
        super::standing(&Switch::Answers(without("system-id"))),
        None
    );
}

#[test]
fn each_thing_that_is_missing_is_named_with_the_command_that_mends_it() {
    let no_bridge = Facts {
        has_bridge: false,
        ..configured()
    };
    let unguarded = Facts {
        unguarded: Some("the switch does not listen: `mend it`".to_owned()),
        ..configured()
    };
    let table = [
        (unguarded, "Unguarded", "`mend it`"),
        (
            without("system-id"),
            "NotConfigured",
            "`ovs-vsctl set open_vswitch . external_ids:system-id=n1`",
        ),
        (
            with("system-id", "4c1d"),
            "WrongChassis",
            "OVN knows this host as \"4c1d\", and must know it by its node's name: `ovs-vsctl set open_vswitch . external_ids:system-id=n1`",
        ),
        (
            without("ovn-remote"),
            "NotConfigured",
            "external_ids:ovn-remote=ssl:ADDRESS:6642`",
        ),
        (
            without("ovn-encap-ip"),
            "NotConfigured",
            "external_ids:ovn-encap-ip=ADDRESS`",
        ),
        (
            with("ovn-encap-type", " "),
            "NotConfigured",
            "external_ids:ovn-encap-type=geneve`",
        ),
        (
            with("ovn-bridge", "br-other"),
            "WrongBridge",
            "`ovs-vsctl remove open_vswitch . external_ids ovn-bridge`",
        ),
        (no_bridge, "NoBridge", "`apt install ovn-host`"),
    ];
    for (facts, reason, command) in table {
        let [switch, network] = super::facts(&Switch::Answers(facts), "n1");
        assert_eq!((switch.truth, network.truth), (Truth::True, Truth::False));
        assert_eq!(network.reason, reason);
        assert!(network.message.contains(command), "{}", network.message);
    }
}

#[test]
fn a_switch_that_does_not_answer_says_why() {
    let table = [
        (
            SocketState::Absent,
            "NotFound",
            "`apt install openvswitch-switch`",
        ),
        (
            SocketState::Removed,
            "Removed",
            "delete the agent's pod of this node",
        ),
        (SocketState::Forbidden, "Forbidden", "it must run as root"),
        (
            SocketState::Dead,
            "NotRunning",
            "`systemctl restart openvswitch-switch`",
        ),
        (SocketState::Listens, "Silent", "(no answer)"),
    ];
    for (state, reason, what) in table {
        let [switch, network] = super::facts(&silent(state.clone()), "n1");
        assert_eq!((switch.truth, network.truth), (Truth::False, Truth::False));
        assert_eq!(
            (&*switch.reason, &*network.reason),
            (reason, "OpenVswitchNotReady")
        );
        assert!(switch.message.contains(what), "{}", switch.message);
        assert_eq!(trouble(&silent(state), "n1"), Some(switch.message));
    }
    assert_eq!(trouble(&Switch::Answers(configured()), "n1"), None);
}
