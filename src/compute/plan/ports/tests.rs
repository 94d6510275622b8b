//! Which NICs a server has, in every place of its ports' lives.

use super::*;
use crate::{
    api::{port::PortAddress, value::Reference},
    compute::plan::fixtures::{
        UID, claimed, condition, guest, leaving, port, ports as found, server, with_networks,
    },
};

fn network(name: &str) -> ServerNetwork {
    with_networks(&[name]).spec.networks.remove(0)
}

fn brought(name: &str) -> ServerNetwork {
    ServerNetwork {
        network: None,
        port: Some(name.to_owned()),
        ..network("")
    }
}

/// Somebody's own port.
fn free(mut port: Port) -> Port {
    (port.metadata.labels, port.metadata.owner_references) = (None, None);
    port
}

fn first(server: &Server, found: &Found) -> Result<Nic, Trouble> {
    entries(server, found).remove(0).nic
}

#[test]
fn a_port_is_called_by_its_server_and_network() {
    let named = |server_name: &str, network: ServerNetwork| {
        let mut server = server();
        server.metadata.name = Some(server_name.to_owned());
        server.spec.networks = vec![network];
        names(&server).next().unwrap()
    };
    assert_eq!(named("web-1", network("front")), "web-1-front");
    assert_eq!(named("web-1", network("other/shared")), "web-1-shared");
    let renamed = ServerNetwork {
        name: Some("second".to_owned()),
        ..network("front")
    };
    assert_eq!(named("web-1", renamed), "web-1-second");
    assert_eq!(named("web-1", brought("mine")), "mine");
    let long = "a".repeat(250);
    let (one, other) = (
        named(&long, network("front")),
        named(&long, network("back")),
    );
    assert_eq!((one.len(), other.len()), (253, 253));
    assert_ne!(one, other);
}

#[test]
fn a_port_is_made_as_its_network_asks() {
    let mut server = with_networks(&["front"]);
    server.spec.networks[0].addresses = vec!["10.0.0.9".parse().unwrap()];
    server.spec.networks[0].security_groups = Some(vec!["web".to_owned()]);
    let made = missing(&server, &entries(&server, &Found::default()));
    let [port] = &made[..] else {
        panic!("{made:?}")
    };
    assert_eq!(port.name_any(), "web-1-front");
    assert_eq!(port.namespace().as_deref(), Some("shop"));
    assert_eq!(port.spec.network, Reference::new("front"));
    assert_eq!(port.spec.addresses[0].ip, Some("10.0.0.9".parse().unwrap()));
    assert_eq!(port.spec.security_groups, Some(vec!["web".to_owned()]));
    assert!(port.spec.enabled && is_ours(&server, port));
    let owner = &port.owner_references()[0];
    assert_eq!(
        (owner.controller, owner.block_owner_deletion),
        (Some(true), Some(true))
    );
    // What is there is not made again, and what is brought is never made.
    assert!(missing(&server, &entries(&server, &found([port.clone()]))).is_empty());
    server.spec.networks = vec![brought("mine")];
    assert!(missing(&server, &entries(&server, &Found::default())).is_empty());
}

#[test]
fn a_port_with_its_claim_is_a_nic() {
    let server = with_networks(&["front"]);
    let port = claimed("web-1-front", 1);
    let mut open = port.clone();
    let nic = first(&server, &found([port.clone()])).unwrap();
    assert!(nic.port_security, "of which nobody has said otherwise");
    open.status.as_mut().unwrap().port_security = Some(false);
    let open = first(&server, &found([open])).unwrap();
    assert!(!open.port_security);
    // A guest that runs hears of it.
    let told = [nic.clone()];
    let entry = Entry {
        name: nic.name.clone(),
        nic: Ok(open.clone()),
    };
    assert_eq!(nics(&[entry], &told), [open]);
    assert_eq!(Some(nic.port), port.uid());
    assert_eq!((nic.name.as_str(), nic.mtu), ("web-1-front", 1442));
    assert_eq!(
        nic.addresses,
        ["10.0.0.1".parse::<std::net::IpAddr>().unwrap()]
    );
}

/// Half a claim is none: its guest would be told of a NIC that has no place in the network.
#[test]
fn half_a_claim_is_none() {
    let server = with_networks(&["front"]);
    let forget: [fn(&mut crate::api::port::PortStatus); 5] = [
        |status| status.mac = None,
        |status| status.mtu = None,
        |status| status.network = None,
        |status| status.server = None,
        |status| status.addresses = Vec::new(),
    ];
    for forget in forget {
        let mut port = claimed("web-1-front", 1);
        forget(port.status.as_mut().unwrap());
        let trouble = first(&server, &found([port])).unwrap_err();
        assert_eq!(trouble.reason(), "WaitingForPort");
        assert!(!trouble.stalls());
    }
    // On a network without subnets a port has no addresses, and says that this is all.
    let mut bare = claimed("web-1-front", 1);
    let status = bare.status.as_mut().unwrap();
    status.addresses.clear();
    status.conditions = vec![condition("Allocated", "True", "Allocated", "")];
    assert!(first(&server, &found([bare])).is_ok());
}

#[test]
fn a_server_that_waits_for_a_port_says_why_in_the_port_s_own_words() {
    let server = with_networks(&["front"]);
    let mut full = port("web-1-front", 1);
    full.status.get_or_insert_default().conditions = vec![
        condition("Ready", "False", "NotAllocated", "it has no addresses"),
        condition(
            "Allocated",
            "False",
            "SubnetFull",
            "subnet shop/a has no free address",
        ),
    ];
    let trouble = first(&server, &found([full])).unwrap_err();
    assert_eq!(
        trouble.to_string(),
        "waiting for port shop/web-1-front: subnet shop/a has no free address"
    );
    assert!(!trouble.is_brief());
    assert!(
        first(&server, &found([port("web-1-front", 1)]))
            .unwrap_err()
            .is_brief()
    );
}

#[test]
fn what_somebody_must_mend_is_told() {
    let made = with_networks(&["front"]);
    let mut brings = made.clone();
    brings.spec.networks = vec![brought("mine")];
    let mut twice = with_networks(&["front", "other/front"]);
    let mut of_another = free(claimed("mine", 1));
    of_another.status.as_mut().unwrap().server = Some("db-1".to_owned());
    let says = |server: &Server, found: &Found| {
        let entries = entries(server, found);
        let trouble = trouble(&entries).unwrap();
        assert!(trouble.stalls());
        trouble.to_string()
    };
    assert_eq!(
        says(&brings, &Found::default()),
        "there is no port shop/mine, which spec.networks names: make it, or take it out of spec.networks"
    );
    assert_eq!(
        says(&brings, &found([of_another])),
        "port shop/mine is used by server db-1: take it out of that server's spec.networks first"
    );
    assert_eq!(
        says(&made, &found([free(claimed("web-1-front", 1))])),
        "port shop/web-1-front is there already and was not made for this server: delete it, or give the entry of \
         spec.networks another name"
    );
    assert_eq!(
        says(&twice, &found([claimed("web-1-front", 1)])),
        "two of spec.networks have the same port, web-1-front: give one of them a name"
    );
    twice.spec.networks[1].name = Some("second".to_owned());
    let both = found([claimed("web-1-front", 1), claimed("web-1-second", 2)]);
    assert!(trouble(&entries(&twice, &both)).is_none());
}

/// A server of the same name that was deleted had it.
#[test]
fn a_port_of_an_earlier_server_of_the_same_name_is_not_ours() {
    let server = with_networks(&["front"]);
    let mut port = claimed("web-1-front", 1);
    let labels = port.metadata.labels.as_mut().unwrap();
    labels.insert(OF_SERVER_LABEL.to_owned(), "another-uid".to_owned());
    assert!(matches!(
        first(&server, &found([port])),
        Err(Trouble::Foreign(_))
    ));
}

#[test]
fn a_port_moves_when_the_server_that_had_it_has_let_go() {
    let mut server = with_networks(&[]);
    server.spec.networks = vec![brought("mine")];
    let port = free(claimed("mine", 1));
    let mut seen = found([port.clone()]);
    seen.held
        .insert(port.uid().unwrap(), "shop/db-1".to_owned());
    let trouble = first(&server, &seen).unwrap_err();
    assert_eq!(
        trouble.to_string(),
        "waiting for port shop/mine: server shop/db-1 has not let go of it yet"
    );
    assert!(!trouble.stalls());
}

#[test]
fn nics_that_stay_keep_their_places() {
    let server = with_networks(&["c", "a"]);
    let seen = found([claimed("web-1-a", 1), claimed("web-1-c", 3)]);
    let told: Vec<Nic> = {
        let server = with_networks(&["a", "b"]);
        let seen = found([claimed("web-1-a", 1), claimed("web-1-b", 2)]);
        nics(&entries(&server, &seen), &[])
    };
    let names = |nics: &[Nic]| -> Vec<String> { nics.iter().map(|nic| nic.name.clone()).collect() };
    assert_eq!(names(&told), ["web-1-a", "web-1-b"]);
    assert_eq!(
        names(&nics(&entries(&server, &seen), &told)),
        ["web-1-a", "web-1-c"]
    );
}

/// A port that was deleted by hand, or cannot be read, is no reason to unplug a guest that runs.
#[test]
fn a_nic_stays_while_its_port_is_in_trouble() {
    let server = with_networks(&["a"]);
    let told = nics(&entries(&server, &found([claimed("web-1-a", 1)])), &[]);
    for seen in [Found::default(), found([leaving(claimed("web-1-a", 1))])] {
        assert_eq!(nics(&entries(&server, &seen), &told), told);
    }
    // One of the same name that was made anew takes its place.
    let anew = nics(&entries(&server, &found([claimed("web-1-a", 7)])), &told);
    assert_eq!(anew.len(), 1);
    assert_ne!(anew[0].port, told[0].port);
}

#[test]
fn a_port_is_deleted_when_the_node_has_said_that_the_guest_let_go() {
    let server = with_networks(&[]);
    let port = claimed("web-1-a", 1);
    let uid = port.uid().unwrap();
    let seen = found([port, free(claimed("mine", 2))]);
    let names = |guest: Option<&Guest>| -> Vec<String> {
        let ports = superfluous(&server, &seen, guest);
        ports.iter().map(|port| port.name_any()).collect()
    };
    assert_eq!(
        names(None),
        ["web-1-a"],
        "there is no guest, and never a port of others"
    );
    let mut silent = guest();
    assert_eq!(names(Some(&silent)), [""; 0], "nobody has said anything");
    let status = silent.status.get_or_insert_default();
    (status.observed_generation, status.nics) = (Some(1), vec![uid]);
    assert_eq!(names(Some(&silent)), [""; 0], "it is plugged in");
    silent.status.as_mut().unwrap().nics.clear();
    assert_eq!(names(Some(&silent)), ["web-1-a"]);
    silent.metadata.generation = Some(2);
    assert_eq!(
        names(Some(&silent)),
        [""; 0],
        "that was said of an earlier guest"
    );
}

#[test]
fn what_a_server_uses_stays_until_it_leaves() {
    let server = with_networks(&["a"]);
    let seen = found([claimed("web-1-a", 1)]);
    assert!(superfluous(&server, &seen, None).is_empty());
    let going = leaving(server);
    assert_eq!(superfluous(&going, &seen, None).len(), 1);
    let gone = found([leaving(claimed("web-1-a", 1))]);
    assert!(
        superfluous(&going, &gone, None).is_empty(),
        "it is on its way out already"
    );
}

#[test]
fn addresses_are_told_with_their_networks() {
    let mut server = with_networks(&["front", "other/shared"]);
    let mut dual = claimed("web-1-shared", 2);
    dual.spec.network = Reference::new("other/shared");
    let six = PortAddress {
        subnet: "six".to_owned(),
        ip: "2001:db8::2".parse().unwrap(),
    };
    dual.status.as_mut().unwrap().addresses.push(six);
    let observed = Observed {
        ports: found([claimed("web-1-front", 1), dual]),
        ..crate::compute::plan::fixtures::observed()
    };
    let told = addresses(&server, &observed);
    let told: Vec<String> = told
        .iter()
        .map(|it| format!("{} {} {}", it.network, it.port, it.ip))
        .collect();
    assert_eq!(
        told,
        [
            "shop/front web-1-front 10.0.0.1",
            "other/shared web-1-shared 10.0.0.2",
            "other/shared web-1-shared 2001:db8::2",
        ]
    );
    server.metadata.name = Some("another".to_owned());
    assert!(addresses(&server, &observed).is_empty());
    assert_eq!(server.uid().as_deref(), Some(UID));
}
