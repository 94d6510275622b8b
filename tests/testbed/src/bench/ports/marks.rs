//! When something was first seen in a database of OVN's or of Open vSwitch's: one long-lived monitor of one column, whose
//! words are marked with the time as they come.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

/// What a row's column says: the name that is marked, or none.
type Name = fn(&Value) -> Option<&str>;

/// A monitor that runs until it is dropped.
pub struct Marks {
    state: Arc<State>,
    _monitor: Child,
}

#[derive(Default)]
struct State {
    seen: Mutex<Seen>,
    changed: Notify,
}

/// Which names there are, and since when; and which row each is of.
#[derive(Default)]
struct Seen {
    names: BTreeMap<String, Instant>,
    rows: BTreeMap<String, String>,
}

/// What `ovsdb-client monitor` prints for one change of one table.
#[derive(Deserialize)]
struct Printed {
    data: Vec<(String, String, Value)>,
}

impl Marks {
    /// Begins to look, with `ovsdb-client --format=json monitor …` of one column. Returns once what is there was seen.
    pub async fn begin(mut monitor: Command, name: Name) -> Result<Self> {
        let mut child = monitor
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("failed to start ovsdb-client")?;
        let stdout = child.stdout.take().context("ovsdb-client has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let state = Arc::new(State::default());
        let first = lines.next_line().await.context("ovsdb-client ended")?;
        state.hear(&first.context("ovsdb-client said nothing")?, name);
        let hearing = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                hearing.hear(&line, name);
            }
        });
        Ok(Self {
            state,
            _monitor: child,
        })
    }

    /// Waits until all of these are there; since when each of them is.
    pub async fn all(
        &self,
        what: &str,
        names: &[String],
        deadline: Duration,
    ) -> Result<Vec<Instant>> {
        self.until(what, deadline, || {
            let seen = self.state.seen();
            let found = names.iter().filter_map(|name| seen.names.get(name));
            let found: Vec<Instant> = found.copied().collect();
            if found.len() == names.len() {
                Ok(found)
            } else {
                Err(format!("{} of {}", found.len(), names.len()))
            }
        })
        .await
    }

    /// Waits until none of these is there.
    pub async fn none(&self, what: &str, names: &[String], deadline: Duration) -> Result<()> {
        self.until(what, deadline, || {
            let seen = self.state.seen();
            let left = names.iter().filter(|name| seen.names.contains_key(*name));
            match left.count() {
                0 => Ok(()),
                left => Err(format!("{left} are left")),
            }
        })
        .await
    }

    async fn until<T>(
        &self,
        what: &str,
        deadline: Duration,
        look: impl Fn() -> Result<T, String>,
    ) -> Result<T> {
        let looking = async {
            loop {
                // Whatever changes after this is noticed.
                let changed = self.state.changed.notified();
                if let Ok(wanted) = look() {
                    return wanted;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(deadline, looking).await {
            Ok(wanted) => Ok(wanted),
            Err(_elapsed) => {
                let last = look().err().unwrap_or_default();
                bail!("{what}: not within {} s; {last}", deadline.as_secs())
            }
        }
    }
}

impl State {
    fn hear(&self, line: &str, name: Name) {
        let at = Instant::now();
        // Nothing else is printed in one line.
        if let Ok(printed) = serde_json::from_str::<Printed>(line) {
            self.seen().apply(printed, name, at);
            self.changed.notify_waiters();
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn apply(&mut self, printed: Printed, name: Name, at: Instant) {
        let mut row = String::new();
        for (named, action, column) in printed.data {
            // The new half of a change names no row: it follows the old one, which does.
            if !named.is_empty() {
                row = named;
            }
            match (&*action, name(&column)) {
                ("old", _) => {}
                ("delete", _) | (_, None) => self.forget(&row),
                (_, Some(name)) => self.note(&row, name, at),
            }
        }
    }

    fn note(&mut self, row: &str, name: &str, at: Instant) {
        if self.rows.get(row).is_none_or(|before| before != name) {
            self.forget(row);
            self.rows.insert(row.to_owned(), name.to_owned());
            self.names.insert(name.to_owned(), at);
        }
    }

    fn forget(&mut self, row: &str) {
        if let Some(name) = self.rows.remove(row) {
            self.names.remove(&name);
        }
    }
}

/// A column that holds a name.
pub fn text(column: &Value) -> Option<&str> {
    column.as_str()
}

/// The port of a switch's interface that has its flows, as ovn-controller marks it.
pub fn installed(column: &Value) -> Option<&str> {
    let pairs = column.get(1)?.as_array()?;
    let of = |key: &str| {
        let pair = pairs.iter().find(|pair| pair[0] == key)?;
        pair[1].as_str()
    };
    (of("ovn-installed") == Some("true"))
        .then(|| of("iface-id"))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str], name: Name) -> Vec<String> {
        let state = State::default();
        for line in lines {
            state.hear(line, name);
        }
        state.seen().names.keys().cloned().collect()
    }

    const COME: &str = r#"{"data":[["r1","insert",["map",[]]],["r2","initial",["map",[["iface-id","y"]]]]],"headings":[]}"#;
    const FLOWS: &str = r#"{"data":[["r1","old",["map",[]]],["","new",["map",[["iface-id","x"],["ovn-installed","true"]]]],["r2","old",["map",[["iface-id","y"]]]],["","new",["map",[["iface-id","y"],["ovn-installed","true"]]]]]}"#;
    const GONE: &str = r#"{"data":[["r2","delete",["map",[["iface-id","y"],["ovn-installed","true"]]]],["r1","old",["map",[]]],["","new",["map",[["iface-id","x"]]]]]}"#;

    #[test]
    fn marks_come_and_go() {
        assert!(after(&[COME], installed).is_empty());
        assert_eq!(after(&[COME, FLOWS], installed), ["x", "y"]);
        assert!(after(&[COME, FLOWS, GONE], installed).is_empty());
        let named = r#"{"data":[["r1","initial","a"],["r2","insert","b"]]}"#;
        assert_eq!(after(&[named, "not of a table"], text), ["a", "b"]);
    }
}
