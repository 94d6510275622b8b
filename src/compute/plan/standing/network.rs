//! The condition `NetworkReady` of a server: its NICs are plugged in, and their ports are ready.

use kube::ResourceExt;

use crate::{
    api::{
        condition::{self, Fact, Truth},
        port::Port,
        server::{PowerState, Server},
    },
    compute::plan::{
        ports::{self, Entry},
        server::Observed,
    },
};

const KIND: &str = "NetworkReady";

/// What `NetworkReady` says; `plugged` is what the node says of the guest's NICs.
pub(super) fn fact(
    server: &Server,
    observed: &Observed,
    entries: &[Entry],
    plugged: Option<&Fact>,
) -> Fact {
    let guest = observed.guest.as_deref();
    let has_nics = guest.is_some_and(|guest| !guest.spec.nics.is_empty());
    let is_still_plugged = plugged.filter(|said| said.truth != Truth::True);
    if entries.is_empty() && !has_nics && is_still_plugged.is_none() {
        return Fact::yes(KIND, "NoNetworks", "the server has no networks");
    }
    if let Some(trouble) = ports::trouble(entries) {
        return Fact::no(KIND, trouble.reason(), trouble.to_string());
    }
    let Some(status) = guest.and_then(|guest| guest.status.as_ref()) else {
        return Fact::no(KIND, "NotBuilt", "its node has not built it yet");
    };
    if let Some(said) = is_still_plugged {
        return said.clone();
    }
    // Flows are made for NICs that are there.
    let runs = matches!(status.power, Some(PowerState::Running | PowerState::Paused));
    let ports = entries
        .iter()
        .filter_map(|entry| observed.ports.ports.get(&entry.name));
    let unready = ports
        .filter(|_| runs)
        .find_map(|port| unready(server, port));
    match unready {
        Some(message) => Fact::no(KIND, "PortNotReady", message),
        None => Fact::yes(KIND, "Connected", "its NICs are plugged in"),
    }
}

/// What the port lacks, in its own words.
fn unready(server: &Server, port: &Port) -> Option<String> {
    let conditions = port.status.as_ref().map(|status| &status.conditions[..]);
    let ready = condition::find(conditions.unwrap_or_default(), "Ready");
    if ready.is_some_and(|ready| ready.status == Truth::True.as_str()) {
        return None;
    }
    let why = ready.map_or("nobody has said how it stands", |ready| &ready.message);
    let home = server.namespace().unwrap_or_default();
    Some(format!("port {home}/{}: {why}", port.name_any()))
}
