//! `kilonova values-schema`: what users may set of the Helm chart, and everything in the chart that follows from it.
//!
//! The types here are the one source of `values.schema.json`, of `values.yaml` with its comments, and of the table in the
//! chart's README. They hold the same settings as the roles' command lines, so that chart and binary cannot drift apart.

use std::{fs, io::Write, path::PathBuf};

use anyhow::Context as _;

mod kubernetes;
mod ovn;
mod page;
mod roles;
mod schema;
mod types;

use types::Values;

/// Where to put what follows from the types.
#[derive(Debug, clap::Args)]
pub struct ValuesSchemaArguments {
    /// The chart's folder, whose values.schema.json, values.yaml and README.md are written. Default: the schema goes to
    /// standard output.
    #[arg(long)]
    chart: Option<PathBuf>,
}

/// Prints the schema, or writes the chart's files.
pub fn run(arguments: &ValuesSchemaArguments, output: &mut impl Write) -> anyhow::Result<()> {
    let values = Values::default();
    let schema = schema::of(&values)?;
    let text = format!("{schema:#}\n");
    let Some(chart) = &arguments.chart else {
        return Ok(output.write_all(text.as_bytes())?);
    };
    let values = serde_saphyr::to_string(&values)?;
    let entries = page::entries(&values, &schema);
    let readme = chart.join("README.md");
    let words =
        fs::read_to_string(&readme).with_context(|| format!("cannot read {}", readme.display()))?;
    let words = page::with_table(&words, &entries).with_context(|| {
        format!(
            "{} has no place for the table of values: it wants a line {:?} and a line {:?}",
            readme.display(),
            page::TABLE_BEGINS,
            page::TABLE_ENDS
        )
    })?;
    for (name, content) in [
        ("values.schema.json", text),
        ("values.yaml", page::yaml(&entries)),
        ("README.md", words),
    ] {
        let path = chart.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
