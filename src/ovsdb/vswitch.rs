//! The tables of `Open_vSwitch` that are in use (ovs-vswitchd.conf.db(5)), with the columns in use.

use std::collections::BTreeMap;

use super::row::table;
use super::value::Reference;

/// What the database is called.
pub const DATABASE: &str = "Open_vSwitch";

/// Pairs of texts, such as `external_ids`.
pub type Texts = BTreeMap<String, String>;

table! {
    /// The one row of what concerns the whole switch.
    pub struct OpenVSwitch in "Open_vSwitch" {
        /// What the switch, and ovn-controller, are known by.
        pub ssl: Option<Reference>,
        /// Whatever its users put there, such as OVN's `system-id`.
        pub external_ids: Texts,
    }

    /// What the switch, and ovn-controller, are known by, as files of the host.
    pub struct Ssl in "SSL" {
        /// The key.
        pub private_key: String,
        /// The certificate.
        pub certificate: String,
        /// The certificates of the authority.
        pub ca_cert: String,
        /// Whose it is.
        pub external_ids: Texts,
    }
}
