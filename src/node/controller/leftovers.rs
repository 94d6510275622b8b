//! Removes the ports that are left in the integration bridge of guests that ended with their host's power.
//!
//! Must never remove a port that a guest uses, nor anybody's that libvirt did not make: see [`leftovers`]. While the
//! hypervisor does not answer, nothing is removed.

use std::time::Duration;

use tokio::time;
use tracing::{info, warn};

use crate::{
    cluster::telemetry,
    node::{
        driver::Driver,
        plan::{
            domain::INTEGRATION_BRIDGE,
            leftovers::{Leftover, MARK, STATUS, leftovers},
        },
    },
    ovsdb::{
        Condition, Endpoint, Limits, Member, Monitors, Mutation, Mutator, Reference, Row, Session,
        Settings, TransactError, Transaction, Uuid,
        vswitch::{self, Bridge, Interface, OpenVSwitch, Port},
    },
};

use super::{Context, host::switch::Switch};

/// How often to look although nothing has changed: a domain may have ended, or its hypervisor may answer again.
const EVERY: Duration = Duration::from_secs(30);

/// The least time between two looks: what the daemon was told it has mostly done by then.
const PAUSE: Duration = Duration::from_millis(500);

/// Removes what is left, at the start and whenever the switch has changed. Never returns.
pub async fn keep_removing<D: Driver>(ctx: &Context<D>) {
    let session = open(&ctx.switch);
    loop {
        session.ready().await;
        // From before the look, so that nothing is missed; anew each time, so that many changes make one look.
        let mut changes = session.replica().changes();
        remove(ctx, &session).await;
        tokio::select! {
            _ = changes.next() => time::sleep(PAUSE).await,
            () = time::sleep(EVERY) => {}
        }
    }
}

fn open(switch: &Switch) -> Session {
    Session::start(Settings {
        database: vswitch::DATABASE.to_owned(),
        endpoints: vec![Endpoint::Unix(switch.socket().to_owned())],
        tls: None,
        member: Member::Leader,
        monitors: Monitors::new()
            .matching::<Bridge>(&[Condition::equal("name", INTEGRATION_BRIDGE)])
            .table::<Port>()
            .table::<Interface>(),
        limits: Limits::default(),
    })
}

/// What was seen of the switch at one moment.
struct Seen {
    bridge: Uuid,
    left: Vec<Leftover>,
}

async fn remove<D: Driver>(ctx: &Context<D>, session: &Session) {
    let Some(seen) = look(session) else {
        return;
    };
    let mut useless = Vec::new();
    for leftover in &seen.left {
        match ctx.driver.find(leftover.domain).await {
            Ok(found) => {
                let runs = found.is_some_and(|domain| domain.state.is_active());
                useless.extend(leftover.is_useless(runs).then_some(leftover));
            }
            // Not known: it may run.
            Err(_) => return,
        }
    }
    if useless.is_empty() {
        return;
    }
    match session.transact(&removal(&seen, &useless)).await {
        Ok(_) => {
            for leftover in useless.iter().filter(|leftover| leftover.is_marked()) {
                ctx.metrics.leftovers.inc();
                info!(
                    port = leftover.said.name, domain = %leftover.domain,
                    "a port of the switch, left of a guest that ended with the host's power, was removed"
                );
            }
        }
        // Somebody took one meanwhile, such as libvirt, which starts a guest: all are looked at again.
        Err(TransactError::Failed { .. }) => {}
        Err(error) => warn!(
            error = telemetry::chain(&error),
            "ports of the switch that are left of guests could not be removed; it is tried again"
        ),
    }
}

fn look(session: &Session) -> Option<Seen> {
    let view = session.replica().view();
    let (bridge, ports) = view
        .rows::<Bridge>()
        .filter_map(Result::ok)
        .find(|(_, bridge)| bridge.name == INTEGRATION_BRIDGE)
        .map(|(uuid, bridge)| (uuid, bridge.ports))?;
    let ports = ports.iter().filter_map(Reference::uuid);
    let ports: Vec<(Uuid, Port)> = ports
        .filter_map(|uuid| Some((uuid, view.get(uuid).ok()??)))
        .collect();
    let interfaces: Vec<(Uuid, Interface)> = view.rows().filter_map(Result::ok).collect();
    let left = leftovers(&ports, &interfaces);
    Some(Seen { bridge, left })
}

/// Removes the ports that are marked, and marks the others, unless one is not as it was seen.
///
/// A guest that starts may be given the name of a port that is left. If it is the same guest, libvirt finds all as it would
/// write it, but for the mark. So no port is removed whose guest was started after it was asked for.
fn removal(seen: &Seen, useless: &[&Leftover]) -> Transaction {
    let mut transaction = Transaction::new();
    transaction.comment("kilonova: ports of guests that ended with the host's power");
    for leftover in useless {
        let ids = &leftover.said.external_ids;
        let said = Row::new()
            .with("external_ids", ids.clone())
            .with("ofport", leftover.said.ofport);
        transaction.guard::<Interface>(leftover.interface, said);
        if leftover.is_marked() {
            let gone = Mutation::delete("ports", Reference::Row(leftover.port));
            transaction.mutate::<Bridge>(&[Condition::row(seen.bridge)], [gone]);
        } else {
            let mut ids = ids.clone();
            ids.insert(STATUS.to_owned(), MARK.to_owned());
            let marked = Row::new().with("external_ids", ids);
            transaction.update::<Interface>(&[Condition::row(leftover.interface)], marked);
        }
    }
    // Tells the daemon that there is something to do.
    let raise = Mutation::new("next_cfg", Mutator::Add, 1_i64);
    transaction.mutate::<OpenVSwitch>(&[], [raise]);
    transaction
}

#[cfg(test)]
mod tests;
