//! `kilonova metrics`: everything that the roles tell Prometheus, as a page for people, made from what they
//! register.

use std::{collections::BTreeMap, io::Write};

use crate::cluster::metrics::Description;

use super::{metadata, operator};

/// What stands above the table.
const HEAD: &str = "\
# Metrics

<!-- Written by `kilonova metrics > charts/kilonova/metrics.md`. Do not edit. -->

What `kilonova operator` (port 8080), on each hypervisor `kilonova agent` (port 8081) and `kilonova metadata` (port 8082),
and `kilonova ovn` (ports 8082 to 8084) serve at `/metrics`.

- A histogram `x` is asked for as `x_bucket` (with the label `le`), `x_sum` and `x_count`.
- A family has no samples before there is something to count. Gauges of servers and hypervisors are told by the operator
  that leads, and by nobody else: `kilonova_leader` says who that is, and sums over all operators count nothing twice.
  Counters and histograms belong to the process that counted, and begin at 0 when it starts.
- Labels are closed: states, verbs, outcomes, names of kinds and of hypervisors; never names of tenants, servers or
  images. `hypervisor` is the node's name, `zone` its label `topology.kubernetes.io/zone`, empty if it has none.
- A name, its meaning and its labels stay as they are through a minor version; what goes is named in the changelog.

| name | type | unit | labels | of | what |
| --- | --- | --- | --- | --- | --- |
";

/// Prints the page.
pub fn run(output: &mut impl Write) -> anyhow::Result<()> {
    let mut families: BTreeMap<Description, Vec<&str>> = BTreeMap::new();
    for (role, registry) in registries() {
        for family in registry.describe()? {
            families.entry(family).or_default().push(role);
        }
    }
    output.write_all(HEAD.as_bytes())?;
    for (family, roles) in families {
        let Description {
            name,
            kind,
            unit,
            labels,
            help,
        } = family;
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(
            output,
            "| `{name}` | {kind} | {} | {} | {} | {} |",
            unit.unwrap_or_default(),
            labels.join(", "),
            roles.join(", "),
            help.trim_end_matches('.')
        )?;
    }
    Ok(())
}

fn registries() -> Vec<(&'static str, crate::cluster::metrics::Registry)> {
    vec![
        ("operator", operator::Metrics::new().registry),
        #[cfg(feature = "libvirt")]
        ("agent", super::agent::Metrics::new().registry),
        ("metadata", metadata::Metrics::new().registry),
        ("ovn", super::ovn::registry().0),
    ]
}
