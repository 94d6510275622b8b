//! Tells a database, in the database itself, where to listen to its clients: only there can a role be given to a port.

use std::collections::{BTreeMap, BTreeSet};
use std::{path::PathBuf, time::Duration};

use tokio::time;

use crate::ovsdb::{
    Endpoint, Limits, Member as Which, Monitors, Row, Session, Settings, Table, Transaction, table,
    value::Reference,
};

use super::member::Database;

table! {
    /// The one row of what concerns all of the northbound database.
    pub struct Northbound in "NB_Global" {
        /// Where its server listens.
        pub connections: BTreeSet<Reference>,
    }

    /// The one row of what concerns all of the southbound database.
    pub struct Southbound in "SB_Global" {
        /// Where its server listens.
        pub connections: BTreeSet<Reference>,
    }

    /// Where a server listens.
    pub struct Connection in "Connection" {
        /// `pssl:PORT`.
        pub target: String,
        /// After how many ms of silence a client is asked whether it lives.
        pub inactivity_probe: Option<i64>,
        /// Whose it is.
        pub external_ids: BTreeMap<String, String>,
    }

    /// The same, of the southbound database, where clients may have a role.
    pub struct RoleConnection in "Connection" {
        /// `pssl:PORT`.
        pub target: String,
        /// After how many ms of silence a client is asked whether it lives.
        pub inactivity_probe: Option<i64>,
        /// What its clients may do, by OVN's names of roles.
        pub role: String,
        /// Whose it is.
        pub external_ids: BTreeMap<String, String>,
    }
}

/// A node that computes its flows is silent for that long, and there are many of them.
const PROBE_MS: i64 = 60_000;

/// What OVN lets nodes do.
const NODE_ROLE: &str = "ovn-controller";

const DEADLINE: Duration = Duration::from_secs(10);

/// Makes the database that is served at this socket, and led there, say where it is served; whether something had to be
/// written for that.
pub async fn ensure(database: Database, socket: PathBuf) -> Result<bool, String> {
    match database {
        Database::Northbound => {
            let wanted = Connection {
                target: format!("pssl:{}", database.port()),
                inactivity_probe: Some(PROBE_MS),
                external_ids: mark(),
            };
            let connections = |row: Northbound| row.connections;
            make::<Northbound, _>(database, socket, wanted, connections).await
        }
        Database::Southbound => {
            let wanted = RoleConnection {
                target: format!("pssl:{}", database.port()),
                inactivity_probe: Some(PROBE_MS),
                role: NODE_ROLE.to_owned(),
                external_ids: mark(),
            };
            let connections = |row: Southbound| row.connections;
            make::<Southbound, _>(database, socket, wanted, connections).await
        }
    }
}

fn mark() -> BTreeMap<String, String> {
    [("kilonova.dev/kind".to_owned(), "Connection".to_owned())].into()
}

async fn make<G: Table, C: Table + PartialEq>(
    database: Database,
    socket: PathBuf,
    wanted: C,
    connections: impl Fn(G) -> BTreeSet<Reference>,
) -> Result<bool, String> {
    let session = Session::start(Settings {
        database: database.name().to_owned(),
        endpoints: vec![Endpoint::Unix(socket)],
        tls: None,
        member: Which::Leader,
        monitors: Monitors::new().table::<G>().table::<C>(),
        limits: Limits::default(),
    });
    let ready = time::timeout(DEADLINE, session.ready()).await;
    ready.map_err(|_| format!("{:?}", *session.readiness().borrow()))?;
    let mut transaction = Transaction::new();
    {
        let view = session.replica().view();
        let strange = |error| format!("{error}");
        let global = view.rows::<G>().next().transpose().map_err(strange)?;
        let there: BTreeSet<Reference> = global
            .as_ref()
            .map(|(uuid, _)| view.get::<G>(*uuid))
            .transpose()
            .map_err(strange)?
            .flatten()
            .map(connections)
            .unwrap_or_default();
        let listens = there.iter().filter_map(Reference::uuid).any(|uuid| {
            view.get::<C>(uuid)
                .is_ok_and(|found| found.as_ref() == Some(&wanted))
        });
        if listens && there.len() == 1 {
            return Ok(false);
        }
        // Whatever else the server listened at would be a way round the role.
        let inserted = transaction.insert(&wanted);
        let only = Row::new().with("connections", BTreeSet::from([inserted.reference()]));
        match global {
            Some(_) => drop(transaction.update::<G>(&[], only)),
            // ovn-northd makes it, too; there can be only one.
            None => drop(transaction.insert_columns::<G>(only)),
        }
    }
    let done = session.transact(&transaction).await;
    done.map(|_| true)
        .map_err(|error| crate::cluster::telemetry::chain(&error))
}
