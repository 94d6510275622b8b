//! Keeps guests from playing router: no router advertisement of theirs gets into the integration bridge.
//!
//! OVN lets these pass before it asks any rule, whatever its northbound database says. Those of OVN's own routers do not
//! come from a guest's port, and pass.

use std::{collections::BTreeSet, time::Duration};

use tokio::time;

use crate::{
    cluster::telemetry,
    node::openflow,
    ovsdb::{
        Endpoint, Limits, Member, Monitors, Session, Settings,
        vswitch::{self, Interface},
    },
};

use super::host::switch::Switch;

/// How often it is looked whether OVN's controller, which removes all flows when it starts, has removed ours.
const EVERY: Duration = Duration::from_secs(1);

/// Guards every port of a guest, as long as there is a switch. Never returns.
pub async fn keep_guarding(switch: &Switch) {
    let session = Session::start(Settings {
        database: vswitch::DATABASE.to_owned(),
        endpoints: vec![Endpoint::Unix(switch.socket().to_owned())],
        tls: None,
        member: Member::Any,
        monitors: Monitors::new().table::<Interface>(),
        limits: Limits::default(),
    });
    let bridge = switch.bridge_socket();
    let mut changes = session.replica().changes();
    let mut guarded = None;
    let mut fails = false;
    loop {
        session.ready().await;
        let ports = guests(&session);
        let known = guarded.as_ref() == Some(&ports);
        match openflow::guard(&bridge, &ports, known).await {
            Ok(_) => {
                guarded = Some(ports);
                fails = false;
            }
            Err(error) => {
                // A host without OVN has no such bridge, and nothing to guard.
                if !std::mem::replace(&mut fails, true) && !ports.is_empty() {
                    tracing::warn!(
                        error = telemetry::chain(&error),
                        bridge = %bridge.display(),
                        "guests cannot be kept from sending router advertisements; it is tried again every second"
                    );
                }
                guarded = None;
            }
        }
        tokio::select! {
            _ = changes.next() => {}
            () = time::sleep(EVERY) => {}
        }
    }
}

/// The numbers of the guests' ports: libvirt says whose they are.
fn guests(session: &Session) -> BTreeSet<u32> {
    let view = session.replica().view();
    let interfaces = view.rows::<Interface>();
    interfaces
        .filter_map(Result::ok)
        .filter(|(_, interface)| interface.external_ids.contains_key("vm-id"))
        .filter_map(|(_, interface)| u32::try_from(interface.ofport?).ok())
        .collect()
}
