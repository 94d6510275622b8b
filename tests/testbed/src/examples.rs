//! Applies `examples/quickstart.yaml`, the manifests a newcomer begins with.
//!
//! They name guest images by placeholders, because where those are served is different for each testbed.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::kilonova::binary::workspace;
use crate::progress::Progress;
use crate::record::write_file;
use crate::testbed::{GuestImage, Testbed};

/// Under emulation a guest of the larger image takes a minute and a half to be up.
const READY_TIMEOUT: &str = "--timeout=300s";

/// Applies the examples and waits until every server is ready. Returns the file that was applied.
pub async fn apply(testbed: &Testbed, progress: &Progress) -> Result<PathBuf> {
    let step = progress.step("examples/quickstart.yaml");
    let template = workspace().join("examples/quickstart.yaml");
    let mut manifests = std::fs::read_to_string(&template)
        .with_context(|| format!("failed to read {}", template.display()))?;
    for (placeholder, image) in [("TINY", GuestImage::Tiny), ("DEBIAN", GuestImage::Debian)] {
        let served = testbed.image(image).await?;
        manifests = manifests
            .replace(&format!("${{{placeholder}_URL}}"), &served.url)
            .replace(&format!("${{{placeholder}_SHA256}}"), &served.sha256);
    }
    let applied = testbed.layout().root().join("quickstart.yaml");
    write_file(&applied, manifests.as_bytes())?;
    let cluster = testbed.cluster().await?;
    cluster
        .apply(&manifests)
        .await
        .context("the API server refused the examples")?;
    step.message("waiting for the servers");
    let wait = [
        "wait",
        "--for=condition=Ready",
        "servers.kilonova.dev",
        "--all",
        "-A",
        READY_TIMEOUT,
    ];
    cluster.kubectl(&wait, "").await.with_context(|| {
        format!(
            "the servers of {} are not ready; `kubectl describe servers -A` and `{}` say why",
            applied.display(),
            testbed.devstack("logs operator")
        )
    })?;
    step.done();
    Ok(applied)
}
