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

/// What `examples/quickstart.yaml` is on this testbed.
pub async fn quickstart(testbed: &Testbed) -> Result<String> {
    let template = workspace().join("examples/quickstart.yaml");
    let manifests = std::fs::read_to_string(&template)
        .with_context(|| format!("failed to read {}", template.display()))?;
    let served = testbed.image(GuestImage::Tiny).await?;
    Ok(manifests
        .replace("${TINY_URL}", &served.url)
        .replace("${TINY_SHA256}", &served.sha256))
}

/// Applies the examples and waits until every server is ready. Returns the file that was applied.
pub async fn apply(testbed: &Testbed, progress: &Progress) -> Result<PathBuf> {
    let step = progress.step("examples/quickstart.yaml");
    let manifests = quickstart(testbed).await?;
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
