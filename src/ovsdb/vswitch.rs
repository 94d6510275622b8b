//! The tables of `Open_vSwitch`, the database of one host's switch, that are in use (ovs-vswitchd.conf.db(5)), with the
//! columns in use. Columns that change with every port are not: whoever listens would hear of nothing else.

use std::collections::BTreeMap;

use super::row::table;

/// What the database is called.
pub const DATABASE: &str = "Open_vSwitch";

/// Pairs of texts, such as `external_ids`.
pub type Texts = BTreeMap<String, String>;

table! {
    /// The one row of what concerns all of the switch.
    pub struct OpenVswitch in "Open_vSwitch" {
        /// What OVN's controller is configured by (ovn-controller(8)).
        pub external_ids: Texts,
    }

    /// A bridge.
    pub struct Bridge in "Bridge" {
        /// Its name. Unique.
        pub name: String,
        /// `netdev` for one in userspace; `system`, or nothing, for one in the kernel.
        pub datapath_type: String,
    }
}
