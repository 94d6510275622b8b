//! Where a testbed keeps its files. Names only: nothing here touches the disk.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// Holds a folder for each testbed.
pub const TESTBEDS: &str = "/var/lib/kilonova/devstack";
/// Where the logs of a failed `up` go, after everything else of it was removed.
pub const FAILED: &str = "/var/lib/kilonova/failed";
/// What is expensive to make and the same for every testbed.
pub const CACHE: &str = "/var/cache/kilonova";
/// Where every program that was built or found has a link: for people, and for scripts that check charts.
pub const TOOLS: &str = "/var/cache/kilonova/tools/bin";

/// The testbed that is meant when nobody names one.
pub const DEFAULT_NAME: &str = "devstack";

/// Long enough to say what a testbed is for, short enough for paths of unix sockets below it.
const NAME_LENGTH_MAX: usize = 32;

/// The folder of one testbed.
#[derive(Clone, Debug)]
pub struct Layout {
    name: String,
    root: PathBuf,
}

impl Layout {
    /// The layout of the testbed of this name, which need not exist.
    pub fn new(name: &str) -> Result<Self> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            !name.is_empty()
                && name.len() <= NAME_LENGTH_MAX
                && name.chars().all(plain)
                && !name.starts_with('-'),
            "{name:?} is no name for a testbed: use a-z, 0-9 and -, at most {NAME_LENGTH_MAX} characters"
        );
        Ok(Self {
            name: name.to_owned(),
            root: Path::new(TESTBEDS).join(name),
        })
    }

    /// The testbed's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How people tell `devstack`, which is not on the PATH, to do something to this testbed.
    pub fn devstack(&self, words: &str) -> String {
        match self.name.as_str() {
            DEFAULT_NAME => format!("cargo run -p devstack -- {words}"),
            name => format!("cargo run -p devstack -- --name {name} {words}"),
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What this testbed is made of; its existence is the testbed's existence.
    pub fn record(&self) -> PathBuf {
        self.root.join("testbed.json")
    }

    /// Held by whoever changes the testbed.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The logs of all parts.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// One file for each part: how it is started and which process it is now.
    pub fn parts(&self) -> PathBuf {
        self.root.join("parts")
    }

    /// Keys and certificates.
    pub fn pki(&self) -> PathBuf {
        self.root.join("pki")
    }

    /// etcd's data.
    pub fn etcd(&self) -> PathBuf {
        self.root.join("etcd")
    }

    /// OVN's databases, and the sockets of their servers.
    pub fn ovn(&self) -> PathBuf {
        self.root.join("ovn")
    }

    /// What the API server wrote down about requests.
    pub fn audit_log(&self) -> PathBuf {
        self.logs().join("audit.log")
    }

    /// The kubeconfig of `who`; `admin`'s has every right.
    pub fn kubeconfig(&self, who: &str) -> PathBuf {
        self.root.join(format!("{who}.kubeconfig"))
    }

    /// What the image server serves.
    pub fn served(&self) -> PathBuf {
        self.root.join("www")
    }

    /// A node's own files, laid out as the node sees them.
    pub fn node_root(&self, node: &str) -> PathBuf {
        self.root.join("nodes").join(node).join("root")
    }
}

/// The names of all testbeds that exist.
pub fn testbeds() -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(TESTBEDS) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if Layout::new(&name).is_ok_and(|layout| layout.record().exists()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
