//! The Filter Scheduler of the literature: keep the hypervisors that every filter accepts, take the one of least
//! weight.
//!
//! ```text
//! Hypervisor ──► Host ─┐
//!                      ├─► View ──place(Request)──► every Filter ──► every Weigher ──► Placement
//! bindings ────────────┘                                 └────────────────────────────► Refusal, with reasons
//! ```
//!
//! A [`View`] holds in memory what every host has and what is bound to it. A decision is the host of least weight
//! among those that no [`Filter`] refuses. *Least*, as in "least cost": the [`Weigher`]s say how full a host would
//! be with the server on it. Of equal weights the first name wins, so equal views give equal answers on every
//! machine; that is also why there are only integers here. When no host is left, each is counted at the first
//! filter that refuses it, and the [`Refusal`] says so.
//!
//! This module must never wait, read a clock, throw dice, log, or know a client. It claims nothing either: a
//! placement becomes true when its caller has written it to the Server's status. From the decision on the view
//! counts it (see [`View::place_and_assume`]); a caller whose write was refused takes it back with [`View::forget`].

mod view;

mod filter;
mod weigh;

mod host;
mod refusal;

mod amounts;

#[cfg(test)]
pub(in crate::compute) mod fixtures;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::needs::Needs;
use crate::api::server::Resources;

pub use amounts::{Amounts, Resource};
pub use filter::Filter;
pub use host::{Host, Usage};
pub use refusal::Refusal;
pub use view::{Account, View};
pub use weigh::{Weigher, Weights};

/// A server that looks for a hypervisor.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The server's UID.
    pub uid: &'a str,
    /// What it takes.
    pub resources: Resources,
    /// What it needs the hypervisor to offer.
    pub needs: &'a Needs,
    /// Labels that the hypervisor must carry, each with this value.
    pub node_selector: &'a BTreeMap<String, String>,
}

/// Where a server goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The name of the hypervisor, which is its node's.
    pub node: String,
}
