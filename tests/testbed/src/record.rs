//! `testbed.json`: what a testbed is made of. Writing it claims the slot, so it is the first thing a testbed has and
//! the last it loses.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::command::run_line;
use crate::layout::{self, Layout};
use crate::lock::lock;
use crate::slot::{Network, Slot};

/// The parts of a testbed that are decided once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its addresses and link names.
    pub slot: Slot,
    /// How many nodes it has been given so far.
    pub nodes: u8,
    /// Whether its nodes run pods; decided when it is made.
    #[serde(default)]
    pub pods: bool,
    /// The binary that its operator and agents run.
    pub kilonova: Option<PathBuf>,
    /// A kubectl that suits its API server.
    pub kubectl: PathBuf,
}

impl Record {
    /// Reads the record of a testbed; `None` when there is no such testbed.
    pub fn read(layout: &Layout) -> Result<Option<Self>> {
        read_json(&layout.record())
    }

    /// Reads the record, or claims a free slot and writes one.
    pub async fn claim(layout: &Layout, kubectl: &Path, pods: bool) -> Result<Self> {
        let _claims = lock(&Path::new(layout::TESTBEDS).join(".slots.lock")).await?;
        if let Some(record) = Self::read(layout)? {
            return Ok(record);
        }
        let slot = free_slot().await?;
        let record = Self {
            slot,
            nodes: 0,
            pods,
            kilonova: None,
            kubectl: kubectl.to_owned(),
        };
        record.write(layout)?;
        Ok(record)
    }

    /// Writes the record.
    pub fn write(&self, layout: &Layout) -> Result<()> {
        write_json(&layout.record(), self)
    }
}

async fn free_slot() -> Result<Slot> {
    let mut taken = Vec::new();
    for name in layout::testbeds()? {
        if let Some(record) = Record::read(&Layout::new(&name)?)? {
            taken.push(record.slot);
        }
    }
    let networks = known_networks().await?;
    Slot::all()
        .filter(|slot| !taken.contains(slot))
        .find(|slot| !networks.iter().any(|&network| slot.overlaps(network)))
        .context(
            "no slot is free: every 172.31.x.0/24 is taken by a testbed (`cargo run -p devstack -- down --all`) or by a route of \
             this machine (`ip route`)",
        )
}

/// The networks this machine has routes to, apart from the default route.
async fn known_networks() -> Result<Vec<Network>> {
    #[derive(Deserialize)]
    struct Route {
        dst: String,
    }
    let text = run_line("ip -json -4 route show table main").await?;
    let routes: Vec<Route> =
        serde_json::from_str(&text).context("`ip -json route` printed something else")?;
    Ok(routes
        .iter()
        .filter_map(|route| parse_network(&route.dst))
        .collect())
}

fn parse_network(text: &str) -> Option<Network> {
    let (address, length) = text.split_once('/').unwrap_or((text, "32"));
    Some(Network {
        address: address.parse().ok()?,
        prefix_length: length.parse().ok().filter(|&length| length <= 32)?,
    })
}

/// Reads a JSON file; `None` when there is none.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("failed to read {}", path.display()));
        }
    };
    serde_json::from_str(&text)
        .map(Some)
        .with_context(|| format!("{} is damaged", path.display()))
}

/// Writes a JSON file in one stroke, making its folder when there is none.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_vec_pretty(value).context("failed to write JSON")?;
    write_file(path, &text)
}

/// Writes a file that only root may read, in one stroke: no reader, and no crash, ever sees half of it.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    let failed = || format!("failed to write {}", path.display());
    let folder = path.parent().with_context(failed)?;
    std::fs::create_dir_all(folder).with_context(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
    std::io::Write::write_all(&mut file, content).with_context(failed)?;
    file.persist(path).with_context(failed)?;
    Ok(())
}
