//! OVN's databases as a whole: every row of every table, and whose it is.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use testbed::Testbed;

/// What a row says whose it is.
const MARK: &str = "kilonova.dev/uid";
/// What comes and goes by itself: what nodes say of themselves, what they have learnt, and what northd shares between
/// datapaths to save room.
const BY_ITSELF: [&str; 4] = [
    "Chassis_Private",
    "Logical_DP_Group",
    "NB_Global",
    "SB_Global",
];

/// A table of `ovsdb-client dump`.
#[derive(Deserialize)]
struct Table {
    caption: String,
    headings: Vec<String>,
    data: Vec<Vec<Value>>,
}

/// How many rows each table has; none for one that is empty.
pub type Counts = BTreeMap<String, usize>;

/// Both databases, after northd has done what there is to do.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The rows of the northbound database with a mark, by UID of their object: of which tables.
    pub marked: BTreeMap<String, BTreeSet<String>>,
    /// How many rows have no mark.
    pub unmarked: Counts,
    /// All of the northbound database.
    pub northbound: Counts,
    /// All of the southbound database.
    pub southbound: Counts,
}

impl Rows {
    /// Looks.
    pub async fn look(testbed: &Testbed) -> Result<Self> {
        let ovn = testbed.ovn();
        ovn.nbctl(["--wait=sb", "sync"]).await?;
        let northbound = dump(&ovn.northbound_sockets().await?, "OVN_Northbound").await?;
        let southbound = dump(&ovn.southbound_sockets().await?, "OVN_Southbound").await?;
        let mut rows = Self {
            marked: BTreeMap::new(),
            unmarked: Counts::new(),
            northbound: count(&northbound),
            southbound: count(&southbound),
        };
        for table in &northbound {
            let ids = table
                .headings
                .iter()
                .position(|name| name == "external_ids");
            for row in &table.data {
                match ids.and_then(|ids| mark(&row[ids])) {
                    Some(uid) => {
                        let tables = rows.marked.entry(uid).or_default();
                        tables.insert(name(table));
                    }
                    None => *rows.unmarked.entry(name(table)).or_default() += 1,
                }
            }
        }
        Ok(rows)
    }

    /// What is not as it was, in words.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        let differing = |now: &Counts, then: &Counts| -> Vec<String> {
            let tables: BTreeSet<_> = now.keys().chain(then.keys()).collect();
            let count = |of: &Counts, table: &String| of.get(table).copied().unwrap_or(0);
            tables
                .into_iter()
                .filter(|table| !BY_ITSELF.contains(&table.as_str()))
                .filter(|table| count(now, table) != count(then, table))
                .map(|table| {
                    format!(
                        "{table}: {} rows, and {} before",
                        count(now, table),
                        count(then, table)
                    )
                })
                .collect()
        };
        let mut all = differing(&self.northbound, &before.northbound);
        all.extend(differing(&self.southbound, &before.southbound));
        all
    }
}

async fn dump(socket: &str, database: &str) -> Result<Vec<Table>> {
    let mut client = tokio::process::Command::new("ovsdb-client");
    client.args(["--format=json", "dump", socket, database]);
    let output = client
        .output()
        .await
        .context("failed to start ovsdb-client")?;
    anyhow::ensure!(output.status.success(), "ovsdb-client dump: {output:?}");
    let tables = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    Ok(tables.collect::<Result<_, _>>()?)
}

fn name(table: &Table) -> String {
    let caption = table.caption.split_whitespace().next();
    caption.unwrap_or_default().to_owned()
}

fn count(tables: &[Table]) -> Counts {
    let full = tables.iter().filter(|table| !table.data.is_empty());
    full.map(|table| (name(table), table.data.len())).collect()
}

/// The UID in a map as RFC 7047 writes it: `["map", [[KEY, VALUE], …]]`.
fn mark(ids: &Value) -> Option<String> {
    let pairs = ids.get(1)?.as_array()?;
    let marked = pairs.iter().find(|pair| pair[0] == MARK)?;
    Some(marked[1].as_str()?.to_owned())
}
