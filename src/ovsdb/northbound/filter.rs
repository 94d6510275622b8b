//! Which packets may pass.

use std::collections::BTreeSet;

use super::Texts;
use crate::ovsdb::row::table;
use crate::ovsdb::value::Reference;

table! {
    /// Ports that share rules, and that rules can name as `@name`.
    pub struct PortGroup in "Port_Group" {
        /// Letters, digits and underscores. Unique in the database.
        pub name: String,
        /// Its members; one that is deleted is none any more.
        pub ports: BTreeSet<Reference>,
        /// Its rules.
        pub acls: BTreeSet<Reference>,
        /// Whose it is.
        pub external_ids: Texts,
    }

    /// A rule. Goes when no switch and no port group has it.
    pub struct Acl in "ACL" {
        /// For logs; up to 63 characters.
        pub name: Option<String>,
        /// The higher wins: 0 to 32767.
        pub priority: i64,
        /// `from-lport` or `to-lport`.
        pub direction: String,
        /// Which packets.
        pub condition: String = "match",
        /// `allow-related`, `allow`, `allow-stateless`, `drop` or `reject`.
        pub action: String,
        /// Whether to log it.
        pub log: bool,
        /// How urgent its logs are.
        pub severity: Option<String>,
        /// How often it is logged.
        pub meter: Option<String>,
        /// Settings, such as `apply-after-lb`.
        pub options: Texts,
        /// Whose it is.
        pub external_ids: Texts,
    }

    /// Addresses that rules can name as `$name`.
    pub struct AddressSet in "Address_Set" {
        /// Letters, digits and underscores. Unique in the database.
        pub name: String,
        /// All of one family.
        pub addresses: BTreeSet<String>,
        /// Whose it is.
        pub external_ids: Texts,
    }
}
