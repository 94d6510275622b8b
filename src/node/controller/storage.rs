//! Opens what guests are kept in, and waits for it while it cannot be opened: an agent that only ended would tell
//! nobody but its log what its host lacks.

use std::{path::Path, time::Duration};

use tokio::{sync::watch, time};
use tracing::{info, warn};

use crate::{
    cluster::telemetry,
    node::{
        disks::Disks,
        driver::Driver,
        images::{ImageCache, Limits},
        metrics::ImageMetrics,
    },
};

use super::host::report::{self, Source};

/// How often it is tried.
const EVERY: Duration = Duration::from_secs(5);

/// The images and the disks of this host, once they can be had. Until then the host's report says why they cannot, and
/// so does `ready`.
pub async fn open<D: Driver>(
    source: Source<'_, D>,
    metrics: &ImageMetrics,
    ready: &watch::Sender<Option<String>>,
) -> (ImageCache, Disks) {
    let state_dir = &source.site.state_dir;
    let mut said = None;
    loop {
        let why = match try_open(state_dir, metrics) {
            Ok(opened) => {
                if said.is_some() {
                    info!(path = %state_dir.display(), "the agent can work in its folder now");
                }
                return opened;
            }
            Err(why) => why,
        };
        if said.as_ref() != Some(&why) {
            let text = format!("cannot work in {}: {why}", state_dir.display());
            warn!("{text}");
            ready.send_replace(Some(text));
            said = Some(why.clone());
        }
        if let Err(error) = report::report(&source, None, Some(&why)).await {
            warn!(
                error = telemetry::chain(&error),
                "the host could not be reported; it is tried again"
            );
        }
        time::sleep(EVERY).await;
    }
}

fn try_open(state_dir: &Path, metrics: &ImageMetrics) -> Result<(ImageCache, Disks), String> {
    let images = ImageCache::new(state_dir, Limits::default(), metrics.clone())
        .map_err(|error| telemetry::chain(&error))?;
    let disks = Disks::new(state_dir).map_err(|error| telemetry::chain(&error))?;
    Ok((images, disks))
}
