//! Serves guest images to the nodes over HTTP, from the bridge's address.
//!
//! busybox does the work. What is served lies in one folder, under names that change with the content.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpStream;

use crate::images::Image;
use crate::layout::Layout;
use crate::part::{Part, Spec};
use crate::slot::Slot;

const PORT: u16 = 8000;
const READY_DEADLINE: Duration = Duration::from_mins(1);
const BUSYBOX: &str = "/bin/busybox";
/// How much of a digest makes a name unique.
const DIGEST_CHARACTERS: usize = 12;
/// The part's name.
pub const PART: &str = "image-server";

/// A guest image as nodes download it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedImage {
    /// Where from.
    pub url: String,
    /// What the downloaded file must be.
    pub sha256: String,
    /// The size of the disk it describes, in bytes.
    pub virtual_size_bytes: u64,
}

/// Makes the server run.
pub async fn ensure(layout: &Layout, slot: Slot) -> Result<()> {
    let folder = layout.served();
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("failed to make {}", folder.display()))?;
    let address = format!("{}:{PORT}", slot.host_address());
    let words = [BUSYBOX, "httpd", "-f", "-p", &address, "-h"].map(str::to_owned);
    let words = words.into_iter().chain([folder.display().to_string()]);
    let server = Part::new(layout, PART);
    server.ensure(Spec::host(PART, words)).await?;
    server
        .wait_ready(READY_DEADLINE, async || {
            TcpStream::connect(&address)
                .await
                .map(drop)
                .with_context(|| format!("no answer at {address}"))
        })
        .await
}

/// Adds an image to what is served.
pub fn serve(layout: &Layout, slot: Slot, image: &Image) -> Result<ServedImage> {
    let digest = image
        .sha256
        .get(..DIGEST_CHARACTERS)
        .context("the image has no digest")?;
    let name = format!("{}-{digest}.qcow2", image.name);
    link(&image.path, &layout.served().join(&name))?;
    Ok(ServedImage {
        url: format!("http://{}:{PORT}/{name}", slot.host_address()),
        sha256: image.sha256.clone(),
        virtual_size_bytes: image.virtual_size_bytes,
    })
}

fn link(image: &Path, served: &Path) -> Result<()> {
    match std::os::unix::fs::symlink(image, served) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("failed to link {}", served.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
