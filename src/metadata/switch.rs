//! The node's switch, by its database: our ports in it, and no others.
//!
//! A port is ours if its row has our mark. Rows without it are never touched, whatever they are called.

use std::{collections::BTreeMap, time::Duration};

use tokio::time;

use crate::{
    api::metadata::port_name,
    ovsdb::{
        Changes, Condition, Endpoint, Limits, Member, Monitors, Mutation, Mutator, Readiness,
        Reference, Session, Settings, TransactError, Transaction, Uuid,
        vswitch::{Bridge, DATABASE, Interface, OpenVSwitch, Port},
    },
};

use super::plan::ports::{Found, Made};

/// The bridge that guests' NICs are on.
pub const BRIDGE: &str = "br-int";

/// Our mark: the UID of the network.
const MARK: &str = "kilonova.dev/metadata";

/// What OVN knows an interface by.
const IFACE_ID: &str = "iface-id";

/// How long the switch's daemon may take to see that a port has gone.
const DAEMON_MAX: Duration = Duration::from_secs(10);

/// The switch could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its database did not do it.
    #[error("failed to {operation} of the switch")]
    Transact {
        /// What was tried.
        operation: &'static str,
        /// Why not.
        #[source]
        source: TransactError,
    },
    /// Nobody looks at its database.
    #[error("the switch has not removed a port within {} s: does ovs-vswitchd run?", DAEMON_MAX.as_secs())]
    Daemon,
}

/// What of the switch is in use.
#[derive(Debug)]
pub struct Switch(Session);

impl Switch {
    /// Begins to look for the database.
    pub fn open(endpoint: Endpoint) -> Self {
        Self(Session::start(Settings {
            database: DATABASE.to_owned(),
            endpoints: vec![endpoint],
            tls: None,
            member: Member::Leader,
            monitors: Monitors::new()
                .table::<OpenVSwitch>()
                .matching::<Bridge>(&[Condition::equal("name", BRIDGE)])
                .table::<Port>()
                .table::<Interface>(),
            limits: Limits::default(),
        }))
    }

    /// Waits until its database is there.
    pub async fn ready(&self) {
        self.0.ready().await;
    }

    /// What changes in it.
    pub fn changes(&self) -> Changes {
        self.0.replica().changes()
    }

    /// Why the switch cannot be used; none, if it can.
    pub fn trouble(&self) -> Option<String> {
        if let Readiness::Waiting { reason } = &*self.0.readiness().borrow() {
            return Some(format!(
                "Open vSwitch's database cannot be reached: {reason}"
            ));
        }
        let view = self.0.replica().view();
        let has_bridge = view.count::<Bridge>() > 0;
        (!has_bridge).then(|| {
            format!("the switch has no bridge {BRIDGE}, which ovn-controller makes: does it run?")
        })
    }

    /// The ports that have our mark, and all others by their names.
    pub fn found(&self) -> Vec<Found> {
        let view = self.0.replica().view();
        let interfaces: BTreeMap<_, Interface> = view.rows().filter_map(Result::ok).collect();
        let ports = view.rows::<Port>().filter_map(Result::ok);
        let found = ports.map(|(_, port)| Found {
            network: port.external_ids.get(MARK).cloned(),
            made: made(&port, |uuid| interfaces.get(&uuid)),
            name: port.name,
        });
        found.collect()
    }

    /// Makes a port for a network.
    pub async fn add(&self, network: &str, device: &str) -> Result<(), Error> {
        let mark = (MARK.to_owned(), network.to_owned());
        let mut transaction = Transaction::new();
        transaction.comment(format!("kilonova: metadata of network {network}"));
        transaction.guard_absent::<Port>(&[Condition::equal("name", device)]);
        let interface = transaction.insert(&Interface {
            name: device.to_owned(),
            kind: "internal".to_owned(),
            external_ids: BTreeMap::from([mark.clone(), (IFACE_ID.to_owned(), port_name(network))]),
            ..Interface::default()
        });
        let port = transaction.insert(&Port {
            name: device.to_owned(),
            interfaces: [interface.reference()].into(),
            external_ids: BTreeMap::from([mark]),
        });
        let added = Mutation::insert("ports", port.reference());
        transaction.mutate::<Bridge>(&[Condition::equal("name", BRIDGE)], [added]);
        transaction.mutate::<OpenVSwitch>(&[], [raise()]);
        let done = self.0.transact(&transaction).await;
        done.map(drop).map_err(|source| Error::Transact {
            operation: "make a port",
            source,
        })
    }

    /// Removes ports of ours, and waits until the switch's daemon has let go of their devices.
    pub async fn remove(&self, names: impl IntoIterator<Item = &str>) -> Result<(), Error> {
        let failed = |source| Error::Transact {
            operation: "remove ports",
            source,
        };
        let mut transaction = Transaction::new();
        transaction.comment("kilonova: metadata of networks that nobody here is on");
        for name in names {
            for uuid in self.ours(name) {
                let gone = Mutation::delete("ports", Reference::Row(uuid));
                transaction.mutate::<Bridge>(&[], [gone]);
            }
        }
        transaction.mutate::<OpenVSwitch>(&[], [raise()]);
        let global = transaction.select::<OpenVSwitch>(&[]);
        let results = self.0.transact(&transaction).await.map_err(failed)?;
        let raised = results.rows(&global).ok().into_iter().flatten();
        let target = raised.map(|(_, global)| global.next_cfg).max().unwrap_or(0);
        let replica = self.0.replica();
        let seen = replica.until(|view| {
            let mut globals = view.rows::<OpenVSwitch>().filter_map(Result::ok);
            globals
                .any(|(_, global)| global.cur_cfg >= target)
                .then_some(())
        });
        time::timeout(DAEMON_MAX, seen)
            .await
            .map_err(|_| Error::Daemon)
    }

    /// The rows of our ports of this name.
    fn ours(&self, name: &str) -> Vec<Uuid> {
        let view = self.0.replica().view();
        let ports = view.rows::<Port>().filter_map(Result::ok);
        let ours =
            ports.filter(|(_, port)| port.name == name && port.external_ids.contains_key(MARK));
        ours.map(|(uuid, _)| uuid).collect()
    }
}

/// Tells the daemon that there is something to do, and lets us see when it was done.
fn raise() -> Mutation {
    Mutation::new("next_cfg", Mutator::Add, 1_i64)
}

fn made<'a>(port: &Port, interface: impl Fn(Uuid) -> Option<&'a Interface>) -> Made {
    let mut uuids = port.interfaces.iter().filter_map(Reference::uuid);
    let Some(interface) = uuids.find_map(interface) else {
        return Made::NotYet;
    };
    match (interface.ofport, &interface.error) {
        (_, Some(error)) => Made::Failed(error.clone()),
        (Some(number), None) if number > 0 => Made::Yes,
        (Some(_) | None, None) => Made::NotYet,
    }
}
