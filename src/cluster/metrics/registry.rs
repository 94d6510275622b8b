//! Everything that one process tells Prometheus: what is counted as it happens, and what is looked at when Prometheus
//! asks.
//!
//! A family without a sample is left out of the page, since Prometheus could do nothing with it. [`Registry::describe`]
//! knows it all the same: it gives every family an example first. So the documentation is made from what is registered,
//! and from nothing else.

use std::{
    fmt,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, text},
    metrics::{
        TypedMetric,
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::{self, Metric, Unit},
};

/// What one process tells Prometheus.
pub struct Registry {
    families: registry::Registry,
    examples: Vec<Box<dyn Fn() + Send + Sync>>,
    looks: Vec<Box<dyn Fn() + Send + Sync>>,
    /// Two that ask at once would see each other's half of a look.
    turn: Mutex<()>,
}

/// What can be registered.
pub trait Told: Metric + Clone {
    /// Makes sure that it has a sample, whatever its value.
    fn example(&self);
}

impl<L, M, C> Told for Family<L, M, C>
where
    Self: Metric + Clone,
    L: Clone + Default + Eq + Hash + EncodeLabelSet,
    M: EncodeMetric + TypedMetric,
    C: MetricConstructor<M>,
{
    fn example(&self) {
        drop(self.get_or_create(&L::default()));
    }
}

// These have no labels, and so a sample from the first moment.
impl Told for Gauge {
    fn example(&self) {}
}

impl Told for Counter {
    fn example(&self) {}
}

impl Told for Histogram {
    fn example(&self) {}
}

/// A family, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Description {
    /// The name by which it is asked for; a histogram's is followed by `_bucket`, `_sum` or `_count`.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// What is counted, where that is a unit.
    pub unit: Option<String>,
    /// The labels, without a histogram's `le`.
    pub labels: Vec<String>,
    /// One sentence.
    pub help: String,
}

impl Registry {
    /// An empty registry in which every name begins with this and an underscore.
    pub fn with_prefix(prefix: &str) -> Self {
        Self {
            families: registry::Registry::with_prefix(prefix),
            examples: Vec::new(),
            looks: Vec::new(),
            turn: Mutex::new(()),
        }
    }

    /// Registers a family. A unit stands at the end of its name; `_total` does not: every counter gets that. The help
    /// has no dot at its end: every help gets one.
    pub fn register(&mut self, name: &str, help: &str, metric: &impl Told) {
        match unit(name) {
            Some((rest, unit)) => {
                self.families
                    .register_with_unit(rest, help, unit, metric.clone());
            }
            None => self.families.register(name, help, metric.clone()),
        }
        let metric = metric.clone();
        self.examples.push(Box::new(move || metric.example()));
    }

    /// Calls `look` each time before Prometheus is answered, to bring up to date what nobody counts. It must be quick,
    /// and wait for nothing.
    pub fn look_first(&mut self, look: impl Fn() + Send + Sync + 'static) {
        self.looks.push(Box::new(look));
    }

    /// The page for Prometheus.
    ///
    /// # Errors
    /// Only if formatting into a string fails, which it does not.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for look in &self.looks {
            look();
        }
        self.page()
    }

    /// Every family, in the order of their names. It leaves examples behind, so that the registry is good for nothing
    /// afterwards.
    ///
    /// # Errors
    /// Only if formatting into a string fails, which it does not.
    pub fn describe(self) -> Result<Vec<Description>, fmt::Error> {
        for example in &self.examples {
            example();
        }
        Ok(read(&self.page()?))
    }

    fn page(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.families)?;
        Ok(page)
    }
}

/// The unit at the end of a name, and what is before it.
fn unit(name: &str) -> Option<(&str, Unit)> {
    let ends = [("_seconds", Unit::Seconds), ("_bytes", Unit::Bytes)];
    ends.into_iter()
        .find_map(|(end, unit)| Some((name.strip_suffix(end)?, unit)))
}

/// The families of a page, in the order of their names.
fn read(page: &str) -> Vec<Description> {
    let mut families: Vec<Description> = Vec::new();
    for line in page.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match (&words[..], families.last_mut()) {
            (["#", "HELP", name, help], _) => families.push(Description {
                name: (*name).to_owned(),
                help: (*help).to_owned(),
                ..Description::default()
            }),
            (["#", "TYPE", _, kind], Some(family)) => {
                if *kind == "counter" {
                    family.name += "_total";
                }
                (*kind).clone_into(&mut family.kind);
            }
            (["#", "UNIT", _, unit], Some(family)) => family.unit = Some((*unit).to_owned()),
            (["#", ..], _) | (_, None) => {}
            (_, Some(family)) => {
                let new = |label: &String| label != "le" && !family.labels.contains(label);
                let labels: Vec<String> = labels(line).into_iter().filter(new).collect();
                family.labels.extend(labels);
            }
        }
    }
    families.sort();
    families
}

/// The names of the labels of a sample whose values are examples, and so without quotes or commas.
fn labels(sample: &str) -> Vec<String> {
    let inner = sample
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    let pairs = inner.map_or("", |(pairs, _)| pairs).split(',');
    pairs
        .filter_map(|pair| pair.split_once('='))
        .map(|(label, _)| label.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;
    use crate::cluster::metrics::{Latencies, Latency, Of, Outcome};

    #[test]
    fn families_without_samples_are_described_and_not_served() {
        let mut registry = Registry::with_prefix("kilonova");
        let latencies: Latencies<Of> = Family::new_with_constructor(Latency);
        registry.register("wait_seconds", "How long", &latencies);
        let outcomes = Family::<Outcome, Counter>::default();
        registry.register("runs", "How many, by how they ended", &outcomes);
        registry.register("guests", "How many there are", &Gauge::default());
        let page = registry.encode().unwrap();
        assert!(page.contains("kilonova_guests 0"), "{page}");
        assert!(
            !page.contains("_wait_") && !page.contains("_runs"),
            "{page}"
        );

        let described = registry.describe().unwrap();
        let words = |family: &Description| {
            let unit = family.unit.clone().unwrap_or_default();
            let labels = family.labels.join("+");
            format!(
                "{} {} {unit} {labels}: {}",
                family.name, family.kind, family.help
            )
        };
        assert_eq!(
            described.iter().map(words).collect::<Vec<_>>(),
            [
                "kilonova_guests gauge  : How many there are.",
                "kilonova_runs_total counter  controller+outcome: How many, by how they ended.",
                "kilonova_wait_seconds histogram seconds controller: How long.",
            ]
        );
    }

    #[test]
    fn what_is_looked_at_is_as_fresh_as_the_page() {
        let mut registry = Registry::with_prefix("kilonova");
        let (gauge, asked) = (Gauge::<i64>::default(), Arc::new(AtomicU64::new(0)));
        registry.register("questions", "How often it was asked", &gauge);
        registry.look_first(move || {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            gauge.set(i64::try_from(number).unwrap());
        });
        for number in 0..3 {
            let page = registry.encode().unwrap();
            let expected = format!("kilonova_questions {number}\n");
            assert!(page.contains(&expected), "{page}");
        }
    }
}
