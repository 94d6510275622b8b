//! The tables of `OVN_Northbound` that are in use (ovn-nb(5)), with the columns in use.
//!
//! All of them are in the schema of OVN 23.03; a newer one has more, and an older one fewer, which does no harm: see
//! [`Table`](super::Table).

mod balancer;
mod filter;
mod router;
mod switch;

use std::collections::BTreeMap;

pub use balancer::{LoadBalancer, LoadBalancerHealthCheck};
pub use filter::{Acl, AddressSet, PortGroup};
pub use router::{
    Bfd, GatewayChassis, LogicalRouter, LogicalRouterPolicy, LogicalRouterPort,
    LogicalRouterStaticRoute, Nat,
};
pub use switch::{DhcpOptions, Dns, LogicalSwitch, LogicalSwitchPort, Qos};

use super::row::table;

/// What the database is called.
pub const DATABASE: &str = "OVN_Northbound";

/// Pairs of texts, such as `external_ids`.
pub type Texts = BTreeMap<String, String>;

table! {
    /// The one row of what concerns all of OVN.
    pub struct NbGlobal in "NB_Global" {
        /// Raised by whoever wants to know when the southbound database and the nodes have come so far.
        pub nb_cfg: i64,
        /// How far the southbound database has come.
        pub sb_cfg: i64,
        /// How far the slowest node has come.
        pub hv_cfg: i64,
        /// Settings of the whole, such as `mac_prefix`.
        pub options: Texts,
        /// Whatever its users put there.
        pub external_ids: Texts,
    }
}
