//! The tables of `Open_vSwitch` that are in use (ovs-vswitchd.conf.db(5)), with the columns in use.

use std::collections::{BTreeMap, BTreeSet};

use super::row::table;
use super::value::Reference;

/// What the database is called.
pub const DATABASE: &str = "Open_vSwitch";

/// Where a host's own database listens, unless its administrator has moved it.
pub const ENDPOINT: &str = "unix:/run/openvswitch/db.sock";

/// Pairs of texts, such as `external_ids`.
pub type Texts = BTreeMap<String, String>;

table! {
    /// The one row of what concerns the whole switch.
    pub struct OpenVSwitch in "Open_vSwitch" {
        /// Its bridges.
        pub bridges: BTreeSet<Reference>,
        /// Raised by whoever wants to know when the daemon has done what was written until then.
        pub next_cfg: i64,
        /// How far the daemon has come.
        pub cur_cfg: i64,
        /// Whatever its users put there, such as OVN's `system-id`.
        pub external_ids: Texts,
    }

    /// A bridge.
    pub struct Bridge in "Bridge" {
        /// Its name, which is unique.
        pub name: String,
        /// Its ports, which live as long as they are here.
        pub ports: BTreeSet<Reference>,
    }

    /// A port of a bridge. Goes when no bridge has it.
    pub struct Port in "Port" {
        /// Its name, which is unique.
        pub name: String,
        /// What it is made of; mostly one interface of the same name.
        pub interfaces: BTreeSet<Reference>,
        /// Whose it is.
        pub external_ids: Texts,
    }

    /// An interface of a port. Goes when no port has it.
    pub struct Interface in "Interface" {
        /// The name of the device.
        pub name: String,
        /// Empty for a device that is there; `internal` for one that the daemon makes, and others.
        pub kind: String = "type",
        /// What OVN knows it by (`iface-id`), what OVN says of it (`ovn-installed`), and of a guest's the UUID (libvirt writes
        /// `vm-id`).
        pub external_ids: Texts,
        /// The number of its port, written by the daemon; -1 if it could not be made.
        pub ofport: Option<i64>,
        /// Why it could not be made, written by the daemon.
        pub error: Option<String>,
    }
}

/// The same tables without the columns that change with every port: whoever listens to those hears of little else.
pub mod settled {
    use super::{Reference, Texts, table};

    table! {
        /// The one row of what concerns the whole switch.
        pub struct OpenVswitch in "Open_vSwitch" {
            /// What OVN's controller is configured by (ovn-controller(8)).
            pub external_ids: Texts,
            /// What the switch, and ovn-controller, are known by.
            pub ssl: Option<Reference>,
        }

        /// A bridge.
        pub struct Bridge in "Bridge" {
            /// Its name, which is unique.
            pub name: String,
            /// `netdev` for one in userspace; `system`, or nothing, for one in the kernel.
            pub datapath_type: String,
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
}
