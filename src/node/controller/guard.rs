//! Keeps guests from playing router: no router advertisement of theirs gets into the integration bridge, unless their port
//! has no port security.
//!
//! OVN lets these pass before it asks any rule, whatever its northbound database says. Those of OVN's own routers do not
//! come from a guest's port, and pass.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
    path::Path,
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};
use kube::runtime::reflector::ObjectRef;
use tokio::{
    sync::{mpsc, watch},
    time::{self, Instant},
};

use crate::{
    api::guest::Guest,
    cluster::controller::Triggers,
    node::{
        driver::{Driver, PortId},
        openflow,
        plan::{
            domain::INTEGRATION_BRIDGE,
            guard::{self, Guarded},
        },
    },
    ovsdb::{
        Endpoint, Limits, Member, Monitors, Session, Settings,
        vswitch::{self, Interface},
    },
};

use super::{Context, host::switch::Switch};

/// How often it is looked whether OVN's controller, which removes all flows when it starts, has removed ours.
const EVERY: Duration = Duration::from_secs(1);

/// How long what was true is still said while the switch does not answer: one that is started again is soon back.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long who has plugged a NIC in waits for its port to be guarded before saying that it is not.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(1);

/// How the ports of guests stand, as far as is known.
pub struct Guard(watch::Sender<Guarded>);

impl Default for Guard {
    fn default() -> Self {
        Self(watch::Sender::new(Guarded::default()))
    }
}

impl Guard {
    /// How they stand now.
    pub fn standing(&self) -> Guarded {
        self.0.borrow().clone()
    }

    /// How they stand once these are guarded, or could not be for a while.
    pub async fn settled(&self, ports: &BTreeSet<PortId>) -> Guarded {
        let mut standing = self.0.subscribe();
        let settled = standing.wait_for(|now| now.trouble.is_some() || ports.is_subset(&now.ports));
        // In vain: then this is what there is to say.
        let _ = time::timeout(SETTLE_TIME_MAX, settled).await;
        self.standing()
    }

    /// Takes note, and tells who listens if anything is new.
    fn tell(&self, now: Guarded) {
        self.0.send_if_modified(|before| {
            let is_new = *before != now;
            *before = now;
            is_new
        });
    }
}

/// Guards every port of a guest, as long as there is a switch, and says `news` when that cannot be done, or can again. Never
/// returns.
pub async fn keep_guarding<D: Driver>(ctx: &Context<D>, news: mpsc::Sender<()>) {
    let session = watch_interfaces(&ctx.switch);
    let bridge = ctx.switch.bridge_socket();
    let (mut known, mut failing) = (None, None);
    loop {
        session.ready().await;
        // From before the look, so that nothing is missed; anew each time, so that many changes make one look.
        let mut changes = session.replica().changes();
        let wanted = wanted(ctx, &session);
        let numbers: BTreeSet<u32> = wanted.keys().copied().collect();
        let done = openflow::guard(&bridge, &numbers, known.as_ref() == Some(&numbers)).await;
        let unguarded = if done.is_ok() { 0 } else { wanted.len() };
        let count = i64::try_from(unguarded).unwrap_or(i64::MAX);
        ctx.metrics.unguarded.set(count);
        match done {
            Ok(_) => {
                (known, failing) = (Some(numbers), None);
                let ports = wanted.into_values().flatten().collect();
                tell(ctx, &news, ports, None);
            }
            Err(error) => {
                known = None;
                let since = *failing.get_or_insert_with(Instant::now);
                if since.elapsed() >= PATIENCE {
                    tell(ctx, &news, BTreeSet::new(), Some(trouble(&bridge, &error)));
                }
            }
        }
        tokio::select! {
            _ = changes.next() => {}
            () = time::sleep(EVERY) => {}
        }
    }
}

/// The ports that have to be guarded now.
fn wanted<D: Driver>(ctx: &Context<D>, session: &Session) -> BTreeMap<u32, Option<PortId>> {
    let guests = ctx.guests.all();
    let free = guard::free(guests.iter().map(|guest| &**guest));
    let view = session.replica().view();
    let interfaces: Vec<_> = view.rows::<Interface>().filter_map(Result::ok).collect();
    guard::wanted(interfaces.iter().map(|(_, interface)| interface), &free)
}

/// Tells how it stands, and that there is news if something went wrong, or does no more.
fn tell<D: Driver>(
    ctx: &Context<D>,
    news: &mpsc::Sender<()>,
    ports: BTreeSet<PortId>,
    trouble: Option<String>,
) {
    let guard = ctx.switch.guard();
    let is_news = guard.standing().trouble != trouble;
    guard.tell(Guarded { ports, trouble });
    if is_news {
        // One word of news is as good as ten.
        let _ = news.try_send(());
    }
}

fn watch_interfaces(switch: &Switch) -> Session {
    Session::start(Settings {
        database: vswitch::DATABASE.to_owned(),
        endpoints: vec![Endpoint::Unix(switch.socket().to_owned())],
        tls: None,
        member: Member::Any,
        monitors: Monitors::new().table::<Interface>(),
        limits: Limits::default(),
    })
}

/// What is wrong, in words that stay the same while it is.
fn trouble(bridge: &Path, error: &io::Error) -> String {
    let socket = bridge.display();
    let why = match error.kind() {
        ErrorKind::NotFound => format!(
            "there is no socket {socket}: on the host, see that ovs-vswitchd and ovn-controller run"
        ),
        ErrorKind::ConnectionRefused => format!(
            "nobody listens at the socket {socket}: `systemctl restart openvswitch-switch` (openvswitch on Fedora and RHEL)"
        ),
        ErrorKind::PermissionDenied => format!(
            "the agent may not use the socket {socket}: it must run as root, in a pod with the SELinux type spc_t if the \
             host has SELinux"
        ),
        _ => format!(
            "{error} (at the socket {socket}): `ovs-vsctl get bridge {INTEGRATION_BRIDGE} protocols` must be empty or have \
             OpenFlow13, and `journalctl -u ovs-vswitchd` says what else it may be"
        ),
    };
    format!(
        "the host's switch cannot be told to drop router advertisements of guests, so one could play router to its \
         neighbours: {why}"
    )
}

/// A trigger for each guest whose ports are guarded from now on, or no longer.
pub(super) fn concerned<D: Driver>(ctx: Arc<Context<D>>) -> Triggers<Guest> {
    let standing = ctx.switch.guard().0.subscribe();
    let changes = stream::unfold(
        (standing, Guarded::default()),
        |(mut standing, before)| async move {
            standing.changed().await.ok()?;
            let now = standing.borrow_and_update().clone();
            let other: BTreeSet<PortId> = before
                .ports
                .symmetric_difference(&now.ports)
                .copied()
                .collect();
            let all = before.trouble != now.trouble;
            Some(((other, all), (standing, now)))
        },
    );
    let references = move |(other, all): (BTreeSet<PortId>, bool)| {
        let guests = ctx.guests.all();
        let mut concerned = Vec::new();
        for guest in &guests {
            let mut ports = guard::secured(guest);
            if ports.any(|(port, _)| all || other.contains(&port)) {
                concerned.push(ObjectRef::from_obj(&**guest));
            }
        }
        concerned
    };
    changes
        .flat_map(move |change| stream::iter(references(change)))
        .boxed()
}

#[cfg(test)]
mod tests;
