//! An image as an OCI archive: a tar with the image's layout, as `ctr images import`, `podman load` and `skopeo` read it.
//!
//! Equal content gives equal bytes. The documents say no more than they must: no time of building, no history.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tar::{EntryType, Header};

use super::digest;
use super::layer::{self, Layer};
use super::settings::Settings;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// Of the manifest, which stands for the whole image.
    pub digest: String,
    /// Of layer, configuration and manifest: what a registry would send.
    pub compressed_bytes: u64,
    /// Of all files, as they lie on a disk.
    pub unpacked_bytes: u64,
}

/// Writes the image that has the files of a folder, and these settings. The layer is made beside the archive first.
/// `name` tells by the digest what the image is called.
pub(super) fn write(
    root: &Path,
    settings: &Settings,
    name: impl FnOnce(&str) -> String,
    path: &Path,
) -> Result<Written> {
    let context = || format!("failed to write {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut layer_file = tempfile::tempfile_in(folder).with_context(context)?;
    let layer = layer::write(root, io::BufWriter::new(&mut layer_file))?;
    let config = config(settings, &layer).to_string();
    let manifest = manifest(&config, &layer).to_string();
    let digest = digest::of(manifest.as_bytes());
    let index = index(&manifest, &name(&digest)).to_string();

    // Small things first: whoever only wants to know what the archive is need not read it all.
    let mut archive = Archive::new(File::create(path).with_context(context)?);
    archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    archive.file("index.json", index.as_bytes())?;
    archive.folder("blobs/")?;
    archive.folder("blobs/sha256/")?;
    archive.blob(manifest.as_bytes())?;
    archive.blob(config.as_bytes())?;
    layer_file.seek(SeekFrom::Start(0))?;
    archive.entry(&place(&layer.digest), layer.bytes, &mut layer_file)?;
    archive.finish()?;
    Ok(Written {
        digest,
        compressed_bytes: layer.bytes + (config.len() + manifest.len()) as u64,
        unpacked_bytes: layer.unpacked_bytes,
    })
}

/// Puts the files of an image into a folder, if [`write()`] has written it: in one pass, since each document comes before
/// what it speaks of.
pub(super) fn unpack(path: &Path, folder: &Path) -> Result<()> {
    let context = || {
        format!(
            "failed to unpack {} to {}",
            path.display(),
            folder.display()
        )
    };
    let mut archive = tar::Archive::new(File::open(path).with_context(context)?);
    let (mut manifest, mut layer) = (String::new(), String::new());
    for entry in archive.entries().with_context(context)? {
        let entry = entry.with_context(context)?;
        let found = entry.path().with_context(context)?.display().to_string();
        if found == "index.json" {
            let index: Value = serde_json::from_reader(entry).with_context(context)?;
            manifest = place(index["manifests"][0]["digest"].as_str().unwrap_or_default());
        } else if found == manifest {
            let manifest: Value = serde_json::from_reader(entry).with_context(context)?;
            layer = place(manifest["layers"][0]["digest"].as_str().unwrap_or_default());
        } else if found == layer {
            let mut files = tar::Archive::new(GzDecoder::new(entry));
            files.set_preserve_permissions(true);
            return files.unpack(folder).with_context(context);
        }
    }
    bail!("{} has no layer", path.display())
}

fn config(settings: &Settings, layer: &Layer) -> Value {
    json!({
        "architecture": architecture(),
        "os": "linux",
        "config": settings,
        "rootfs": { "type": "layers", "diff_ids": [layer.diff_id] },
    })
}

fn manifest(config: &str, layer: &Layer) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, config),
        "layers": [{ "mediaType": LAYER, "digest": layer.digest, "size": layer.bytes }],
    })
}

fn index(manifest: &str, name: &str) -> Value {
    let mut entry = descriptor(MANIFEST, manifest);
    entry["platform"] = json!({ "architecture": architecture(), "os": "linux" });
    entry["annotations"] = json!({
        "io.containerd.image.name": name, // what containerd reads
        "org.opencontainers.image.ref.name": name, // what all others read
    });
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] })
}

fn descriptor(media_type: &str, document: &str) -> Value {
    json!({ "mediaType": media_type, "digest": digest::of(document.as_bytes()), "size": document.len() })
}

/// This machine's architecture, by the name that images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Where a blob lies in the archive.
fn place(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

/// The tar around it all.
struct Archive<W: Write> {
    tar: tar::Builder<W>,
}

impl<W: Write> Archive<W> {
    fn new(out: W) -> Self {
        Self {
            tar: tar::Builder::new(out),
        }
    }

    fn folder(&mut self, path: &str) -> Result<()> {
        self.append(EntryType::Directory, path, 0, io::empty())
    }

    fn file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.entry(path, content.len() as u64, content)
    }

    fn blob(&mut self, content: &[u8]) -> Result<()> {
        self.file(&place(&digest::of(content)), content)
    }

    fn entry(&mut self, path: &str, bytes: u64, content: impl io::Read) -> Result<()> {
        self.append(EntryType::Regular, path, bytes, content)
    }

    fn append(
        &mut self,
        kind: EntryType,
        path: &str,
        bytes: u64,
        content: impl io::Read,
    ) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes);
        self.tar
            .append_data(&mut header, path, content)
            .with_context(|| format!("failed to write {path} of the image"))
    }

    fn finish(self) -> Result<()> {
        let mut out = self.tar.into_inner()?;
        out.flush().context("failed to write the image")
    }
}

#[cfg(test)]
#[path = "oci_tests.rs"]
mod tests;
