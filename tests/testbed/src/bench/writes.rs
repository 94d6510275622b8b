//! Who wrote what for a server, as the API server wrote it down. Pure.
//!
//! Heartbeats (Leases) and events are counted apart, and so is everything that is about no server: a hypervisor's
//! capacity, for instance, is written whether there are servers or not.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::report::Table;
use crate::audit::Request;

/// A server and the time in which its writes are counted.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// Its uid: the name of its guest and its seed.
    pub uid: String,
    /// When it was asked for.
    pub from: Timestamp,
    /// When it was seen to be as asked.
    pub to: Timestamp,
}

/// Writes of one kind by one writer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Count {
    /// `operator`, or the node of an agent.
    pub who: String,
    /// Such as `patch`.
    pub verb: String,
    /// Such as `servers/status`.
    pub resource: String,
    /// How many succeeded.
    pub succeeded: usize,
    /// How many did not.
    pub failed: usize,
    /// When the first one for a server came after the server was asked for: the median over all servers, in
    /// milliseconds.
    pub first_after_ms: Option<f64>,
}

/// All that was written.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Writes {
    /// The most that was written for one server, failures included.
    pub most_per_server: usize,
    /// How much was written for a server on average, failures included.
    pub mean_per_server: f64,
    /// For servers, between the moment they were asked for and the moment they were as asked.
    pub for_servers: Vec<Count>,
    /// In the same time, but for no server.
    pub others: Vec<Count>,
    /// In the same time: heartbeats and events.
    pub heartbeats_and_events: Vec<Count>,
}

type Key = (String, String, String);

#[derive(Default)]
struct Tally {
    succeeded: usize,
    failed: usize,
    after_ms: BTreeMap<usize, f64>,
}

impl Writes {
    /// Counts Kilonova's writes.
    pub fn count(log: &[Request], spans: &[Span]) -> Self {
        let mut per_server = vec![0_usize; spans.len()];
        let [mut servers, mut others, mut noise] = [(); 3].map(|()| BTreeMap::<Key, Tally>::new());
        for write in log {
            let Some((key, object)) = ours(write) else {
                continue;
            };
            let at = write.request_received_timestamp;
            let within = |span: &Span| span.from <= at && at <= span.to;
            let owner = spans
                .iter()
                .position(|span| within(span) && [&span.name, &span.uid].contains(&object));
            if matches!(&*key.2, "leases" | "events") {
                if spans.iter().any(within) {
                    noise.entry(key).or_default().add(write);
                }
            } else if let Some(owner) = owner {
                per_server[owner] += 1;
                let tally = servers.entry(key).or_default();
                tally.add(write);
                let after = at.duration_since(spans[owner].from).as_secs_f64() * 1e3;
                tally.after_ms.entry(owner).or_insert(after);
            } else if spans.iter().any(within) {
                others.entry(key).or_default().add(write);
            }
        }
        let total: usize = per_server.iter().sum();
        let float = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let mut for_servers = counts(servers);
        for_servers.sort_by(|a, b| {
            let after = |count: &Count| count.first_after_ms.unwrap_or_default();
            after(a).total_cmp(&after(b))
        });
        Self {
            most_per_server: per_server.iter().copied().max().unwrap_or_default(),
            mean_per_server: float(total) / float(spans.len().max(1)),
            for_servers,
            others: counts(others),
            heartbeats_and_events: counts(noise),
        }
    }

    /// For people.
    pub fn tables(&self) -> Vec<Table> {
        let header = [
            "BY",
            "VERB",
            "RESOURCE",
            "succeeded",
            "failed",
            "first after ms (median)",
        ];
        let groups = [
            (
                "Writes for servers, from create until as asked",
                &self.for_servers,
            ),
            ("Writes for no server in the same time", &self.others),
            (
                "Heartbeats and events in the same time",
                &self.heartbeats_and_events,
            ),
        ];
        let table = |(title, counts): (&str, &Vec<Count>)| {
            let mut table = Table::new(title, header);
            for count in counts {
                table.row([
                    count.who.clone(),
                    count.verb.clone(),
                    count.resource.clone(),
                    count.succeeded.to_string(),
                    count.failed.to_string(),
                    count
                        .first_after_ms
                        .map_or(String::new(), |after| format!("{after:.1}")),
                ]);
            }
            table
        };
        let some = groups.into_iter().filter(|(_, counts)| !counts.is_empty());
        some.map(table).collect()
    }
}

impl Tally {
    fn add(&mut self, write: &Request) {
        if (200..300).contains(&write.response_status.code) {
            self.succeeded += 1;
        } else {
            self.failed += 1;
        }
    }

    fn median_after_ms(&self) -> Option<f64> {
        let mut all: Vec<f64> = self.after_ms.values().copied().collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len().checked_sub(1)? / 2)
            .map(|after| (after * 1e3).round() / 1e3)
    }
}

fn counts(tallies: BTreeMap<Key, Tally>) -> Vec<Count> {
    let count = |((who, verb, resource), tally): (Key, Tally)| Count {
        who,
        verb,
        resource,
        succeeded: tally.succeeded,
        failed: tally.failed,
        first_after_ms: tally.median_after_ms(),
    };
    tallies.into_iter().map(count).collect()
}

/// What kind of write this is and of which object, if the operator or an agent wrote it.
fn ours(write: &Request) -> Option<(Key, &String)> {
    let account = write
        .is_write()
        .then_some(&write.user)?
        .username
        .strip_prefix("system:serviceaccount:kilonova-")?;
    let who = match account.split_once(':')? {
        ("system", who) => who.trim_start_matches("kilonova-").to_owned(),
        (namespace, _) => format!("agent {}", namespace.trim_start_matches("node-")),
    };
    let object = write.object_ref.as_ref()?;
    let resource = if object.subresource.is_empty() {
        object.resource.clone()
    } else {
        format!("{}/{}", object.resource, object.subresource)
    };
    Some(((who, write.verb.clone(), resource), &object.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(user: &str, resource: &str, name: &str, code: u16, millisecond: i64) -> Request {
        serde_json::from_value(serde_json::json!({
            "verb": "patch",
            "user": {"username": user},
            "objectRef": {"resource": resource, "name": name},
            "responseStatus": {"code": code},
            "requestReceivedTimestamp": Timestamp::from_millisecond(millisecond).unwrap(),
        }))
        .unwrap()
    }

    #[test]
    fn counts_what_is_for_a_server_apart() {
        let span = Span {
            name: "a".to_owned(),
            uid: "u".to_owned(),
            from: Timestamp::from_millisecond(1000).unwrap(),
            to: Timestamp::from_millisecond(2000).unwrap(),
        };
        let operator = "system:serviceaccount:kilonova-system:kilonova-operator";
        let agent = "system:serviceaccount:kilonova-node-n1:node";
        let log = [
            write(operator, "servers", "a", 409, 1100),
            write(operator, "servers", "a", 200, 1200),
            write(agent, "guests", "u", 200, 1300),
            write(agent, "leases", "n1", 200, 1400),
            write(agent, "hypervisors", "n1", 200, 1500),
            write(operator, "servers", "a", 200, 2100), // too late
            write("kubernetes-admin", "servers", "a", 201, 1000), // not ours
        ];
        let writes = Writes::count(&log, &[span]);
        assert_eq!(writes.most_per_server, 3);
        let for_servers: Vec<_> = writes
            .for_servers
            .iter()
            .map(|c| {
                (
                    &*c.who,
                    &*c.resource,
                    c.succeeded,
                    c.failed,
                    c.first_after_ms,
                )
            })
            .collect();
        assert_eq!(
            for_servers,
            [
                ("operator", "servers", 1, 1, Some(100.0)),
                ("agent n1", "guests", 1, 0, Some(300.0)),
            ]
        );
        assert_eq!(writes.others.len(), 1);
        assert_eq!(writes.heartbeats_and_events.len(), 1);
    }
}
