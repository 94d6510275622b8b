//! A client of OVSDB, the database of Open vSwitch and OVN: RFC 7047 and what ovsdb-server(7) adds to it, over unix
//! sockets, TCP and TLS.
//!
//! A [`Session`] is all that most users need. It finds the raft leader among the servers, holds a [`Replica`] of the tables
//! that are asked for, tells what changes in it, and carries out [`Transaction`]s:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use kilonova::ovsdb::northbound::{self, LogicalSwitch, LogicalSwitchPort};
//! use kilonova::ovsdb::{Event, Limits, Member, Monitors, Session, Settings, Transaction};
//!
//! let session = Session::start(Settings {
//!     database: northbound::DATABASE.to_owned(),
//!     endpoints: vec!["unix:/run/ovn/ovnnb_db.sock".parse()?],
//!     tls: None,
//!     member: Member::Leader,
//!     monitors: Monitors::new().table::<LogicalSwitch>().table::<LogicalSwitchPort>(),
//!     limits: Limits::default(),
//! });
//! session.ready().await;
//! let mut changes = session.replica().changes();
//!
//! // A port and the switch that has it, both or neither, and only if there is no switch of that name yet.
//! let mut transaction = Transaction::new();
//! transaction.guard_absent::<LogicalSwitch>(&[Condition::equal("name", "net")]);
//! let port = LogicalSwitchPort { name: "web".to_owned(), ..LogicalSwitchPort::default() };
//! let port = transaction.insert(&port);
//! let switch = LogicalSwitch { name: "net".to_owned(), ports: [port.reference()].into(), ..LogicalSwitch::default() };
//! transaction.insert(&switch);
//! # use kilonova::ovsdb::Condition;
//! match session.transact(&transaction).await {
//!     Ok(results) => assert!(results.uuid(&port).is_some()),
//!     // Whether to try again depends on what may have happened: see `TransactError::outcome`.
//!     Err(error) => return Err(error.into()),
//! }
//!
//! while let Some(event) = changes.next().await {
//!     match event {
//!         Event::Row(change) => drop((change.table, change.before, change.after)),
//!         Event::Missed(_) => { /* look at everything anew, by `session.replica().view()` */ }
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Below it, in the order in which one thing stands on another:
//!
//! | module | what | source |
//! | --- | --- | --- |
//! | [`wire`] | messages in a stream of bytes; one connection, its requests, deadlines and limits | RFC 7047, 4 |
//! | [`value`] | atoms, sets, maps, and Rust types for them | RFC 7047, 5.1 |
//! | [`schema`] | what a database has | RFC 7047, 3.2 and 4.1.2 |
//! | [`row`] | rows, and tables that are declared by hand with the columns in use | |
//! | [`transaction`] | operations and their results | RFC 7047, 4.1.3 and 5.2 |
//! | [`monitor`] | what to be told of, and what is told | RFC 7047, 4.1.5; ovsdb-server(7), 4.1.12 to 4.1.16 |
//! | [`replica`] | the copy, and the stream of changes | |
//! | [`session`] | which server; reconnects | ovsdb-server(5) |
//! | [`northbound`] | the tables of OVN that are in use | ovn-nb(5) |
//! | [`southbound`] | the same of OVN's other database | ovn-sb(5) |
//! | [`vswitch`] | the same of one host's switch | ovs-vswitchd.conf.db(5) |
//!
//! What holds, whatever servers and networks do:
//!
//! - **Nothing is repeated.** A request that fails says whether it may have been carried out ([`Outcome`]).
//! - **Nothing waits for ever, and nothing grows without limit.** Each wait has a deadline and each queue and message a
//!   maximum, see [`Limits`]; the replica is as large as what is asked for.
//! - **Whoever wrote sees it.** What a transaction changes is in the replica before its results are there.
//! - **Half a transaction is never seen**, neither in the replica nor by who listens.
//!
//! Not here, since nobody needs it: locks, `monitor_cond_change`, and role-based access control (the server does that by the
//! client's certificate).

pub mod wire;

pub mod value;

pub mod schema;

pub mod row;

pub mod transaction;

pub mod monitor;

pub mod replica;

pub mod session;

pub mod northbound;

pub mod southbound;

pub mod vswitch;

mod uuid;

pub use monitor::Monitors;
pub use replica::{Change, Changes, Event, Replica};
pub use row::{ColumnError, Row, Table, table};
pub use session::{Member, Readiness, Session, Settings, TransactError};
pub use transaction::{
    Condition, Failure, Fault, Function, Mutation, Mutator, Results, Transaction,
};
pub use uuid::{NotUuid, Uuid};
pub use value::Reference;
pub use wire::{Endpoint, Limits, Outcome, Tls};
