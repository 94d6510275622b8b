//! Which program this is, of which member, and where its files, sockets and ports are.

use std::path::{Path, PathBuf};

/// One of the two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// What networks there shall be.
    Northbound,
    /// What each node has to do for that.
    Southbound,
}

impl Database {
    /// The database's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Northbound => "OVN_Northbound",
            Self::Southbound => "OVN_Southbound",
        }
    }

    /// What its files and sockets are called.
    pub fn word(self) -> &'static str {
        match self {
            Self::Northbound => "northbound",
            Self::Southbound => "southbound",
        }
    }

    /// What a new one is made from: of OVN's package.
    pub fn schema(self) -> &'static str {
        match self {
            Self::Northbound => "/usr/share/ovn/ovn-nb.ovsschema",
            Self::Southbound => "/usr/share/ovn/ovn-sb.ovsschema",
        }
    }

    /// Where its clients reach it; of the southbound database, nodes.
    pub fn port(self) -> u16 {
        match self {
            Self::Northbound => 6641,
            Self::Southbound => 6642,
        }
    }

    /// Where its members reach each other.
    pub fn peer_port(self) -> u16 {
        match self {
            Self::Northbound => 6643,
            Self::Southbound => 6644,
        }
    }

    /// What its server listens at beside what the database itself says.
    pub fn remotes(self) -> Vec<String> {
        match self {
            Self::Northbound => vec!["db:OVN_Northbound,NB_Global,connections".to_owned()],
            Self::Southbound => vec![
                "db:OVN_Southbound,SB_Global,connections".to_owned(),
                format!("pssl:{NORTHD_PORT}"),
            ],
        }
    }
}

/// Where ovn-northd, which may change everything, reaches the southbound database.
pub const NORTHD_PORT: u16 = 16642;

/// Where this member's things are.
#[derive(Clone, Debug)]
pub struct Member {
    /// The databases' files; they last.
    pub folder: PathBuf,
    /// Sockets; they go with the pod.
    pub run_folder: PathBuf,
    /// `ca.crt`, `tls.crt` and `tls.key`.
    pub certificates: PathBuf,
    /// The names of all members, the first of which founds the cluster.
    pub hosts: Vec<String>,
    /// Which of them this is.
    pub ordinal: usize,
}

impl Member {
    /// A database's file.
    pub fn file(&self, database: Database) -> PathBuf {
        self.folder.join(format!("{}.db", database.word()))
    }

    /// The socket at which a program of this pod can be asked by hand.
    pub fn control_socket(&self, program: &str) -> PathBuf {
        self.run_folder.join(format!("{program}.ctl"))
    }

    /// The socket at which a database serves this pod.
    pub fn socket(&self, database: Database) -> PathBuf {
        self.run_folder.join(format!("{}.sock", database.word()))
    }

    /// This member's name; nothing if there are fewer members than its number says.
    pub fn host(&self) -> Option<&str> {
        self.hosts.get(self.ordinal).map(String::as_str)
    }

    /// The other members' names.
    pub fn others(&self) -> impl Iterator<Item = &str> {
        let others = self.hosts.iter().enumerate();
        others
            .filter(|(ordinal, _)| *ordinal != self.ordinal)
            .map(|(_, host)| host.as_str())
    }

    /// What makes a program of Open vSwitch known to others.
    pub fn tls_arguments(&self) -> [String; 3] {
        let path = |name: &str| show(&self.certificates.join(name));
        [
            format!("--private-key={}", path("tls.key")),
            format!("--certificate={}", path("tls.crt")),
            format!("--ca-cert={}", path("ca.crt")),
        ]
    }
}

/// A path as an argument.
pub fn show(path: &Path) -> String {
    path.display().to_string()
}
