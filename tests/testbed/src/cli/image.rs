//! `devstack image`: Kilonova's container image as an archive, made without a container engine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;
use testbed::container::{self, Archive};
use testbed::{Progress, layout, prepare};

use super::output;
use super::status::Format;

#[derive(Debug, Args)]
pub struct Image {
    /// Copy the archive to this file. The one in the cache goes when newer ones have come.
    #[arg(long, value_name = "FILE")]
    archive: Option<PathBuf>,
    /// How to print what was made.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// A kilonova binary to take instead of building this workspace's.
    #[arg(long, value_name = "FILE", conflicts_with = "release")]
    kilonova: Option<PathBuf>,
    #[command(flatten)]
    profile: super::Profile,
}

/// What programs are told.
#[derive(Debug, Serialize)]
struct Made {
    reference: String,
    repository: String,
    tag: String,
    digest: String,
    archive: PathBuf,
    compressed_bytes: u64,
    unpacked_bytes: u64,
}

impl Image {
    /// Makes the image and says what it is called.
    pub async fn run(self) -> Result<()> {
        let progress = Progress::new();
        let binary = match self.kilonova {
            Some(binary) => binary,
            None => prepare::kilonova(self.profile.release, &progress).await?,
        };
        let image = container::build(&binary, Path::new(layout::CACHE), &progress).await?;
        if let Some(copy) = &self.archive {
            let context = || format!("failed to copy the image to {}", copy.display());
            std::fs::copy(&image.path, copy).with_context(context)?;
        }
        let made = Made::of(image, self.archive);
        match self.output {
            Format::Json => output::line(serde_json::to_string_pretty(&made)?),
            Format::Table => output::line(words(&made)),
        }
        Ok(())
    }
}

impl Made {
    fn of(image: Archive, copy: Option<PathBuf>) -> Self {
        Self {
            reference: image.reference.to_string(),
            repository: image.reference.repository,
            tag: image.reference.tag,
            digest: image.digest,
            archive: copy.unwrap_or(image.path),
            compressed_bytes: image.compressed_bytes,
            unpacked_bytes: image.unpacked_bytes,
        }
    }
}

fn words(made: &Made) -> String {
    let archive = made.archive.display();
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.add_row(["REFERENCE", &made.reference]);
    table.add_row(["DIGEST", &made.digest]);
    table.add_row(["ARCHIVE", &archive.to_string()]);
    table.add_row(["COMPRESSED", &megabytes(made.compressed_bytes)]);
    table.add_row(["UNPACKED", &megabytes(made.unpacked_bytes)]);
    format!(
        "{table}\n\nLoad it on a node, or where there is an engine:\n  \
         ctr --namespace k8s.io images import {archive}\n  \
         podman load --input {archive}"
    )
}

/// In decimal megabytes, as registries count; to a tenth.
fn megabytes(bytes: u64) -> String {
    let tenths = (bytes + 50_000) / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_tenths() {
        for (bytes, words) in [
            (0, "0.0 MB"),
            (49_999, "0.0 MB"),
            (50_000, "0.1 MB"),
            (9_960_000, "10.0 MB"),
        ] {
            assert_eq!(megabytes(bytes), words);
        }
    }
}
