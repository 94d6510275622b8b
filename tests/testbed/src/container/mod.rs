//! Container images without a container engine: Kilonova's own, and the one that holds a pod's namespaces.
//!
//! `Containerfile` makes the same image for people who have an engine. Both run `.ci/image-root`, which takes the files
//! from this machine's Debian packages, and the image's settings are read from the `Containerfile`. An image lies in the
//! cache as an OCI archive, for `ctr --namespace k8s.io images import`; equal content has an equal digest. Never talks to
//! a registry.

use std::fmt;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use self::settings::Settings;
use self::shelf::Shelf;
use crate::command::{command, run};
use crate::kilonova::binary::workspace;
use crate::progress::Progress;

mod digest;
mod layer;
mod oci;
mod settings;
mod shelf;

/// Where released images of Kilonova are, and what the chart names when nobody says otherwise.
pub const REPOSITORY: &str = "ghcr.io/kilonova/kilonova";
/// The name of the image that holds a pod's namespaces: containerd's `sandbox`.
pub const PAUSE: &str = "localhost/kilonova/pause:1";

/// How much of the digest of an image is part of its tag.
const TAG_DIGITS: usize = 12;
/// How much of the digest of all that goes into an image tells it from others in the cache.
const KEY_DIGITS: usize = 16;
/// What of this program an image depends on.
const WRITER: [&str; 2] = [include_str!("layer.rs"), include_str!("oci.rs")];

/// The name of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Registry and path.
    pub repository: String,
    /// Which of the images in there.
    pub tag: String,
}

impl Reference {
    /// The image with this tag.
    pub fn new(repository: &str, tag: &str) -> Self {
        Self {
            repository: repository.to_owned(),
            tag: tag.to_owned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

/// An image in the cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// An OCI archive. It is shared: never write to it. It stays until a few newer ones are there; copy it to keep it.
    pub path: PathBuf,
    /// What `ctr images import` calls the image.
    pub reference: Reference,
    /// Of its manifest: `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// What a registry would send.
    pub compressed_bytes: u64,
    /// All files of it, as they lie on a disk.
    pub unpacked_bytes: u64,
}

impl Archive {
    /// Puts the image's files into a folder, which is made; all of them belong to whoever does it.
    pub async fn unpack(&self, folder: &Path) -> Result<()> {
        let (archive, folder) = (self.path.clone(), folder.to_owned());
        blocking(move || oci::unpack(&archive, &folder)).await
    }
}

/// The image with this `kilonova` binary. Its tag follows from its content: another binary makes another image.
///
/// Needs what [`crate::prepare`] installs. Built again only when the binary, this machine's packages or the recipe have
/// changed.
pub async fn build(binary: &Path, cache: &Path, progress: &Progress) -> Result<Archive> {
    let step = progress.step("container image of kilonova");
    let script = workspace().join(".ci/image-root");
    let containerfile = workspace().join("Containerfile");
    // dpkg's list of packages stands for all of their files.
    let packages = Path::new("/var/lib/dpkg/status");
    let licence = workspace().join("LICENSE");
    let parts = [binary, &script, &containerfile, &licence, packages].map(Path::to_owned);
    let key = blocking(move || key(&parts)).await?;
    let text = fs::read_to_string(&containerfile);
    let text = text.with_context(|| format!("failed to read {}", containerfile.display()))?;
    let settings = Settings::of_containerfile(&text).context("Containerfile cannot be used")?;
    let fill = async |root: &Path| {
        let mut fill = Command::new(&script);
        run(fill.arg(binary).arg(root)).await.map(drop)
    };
    let shelf = Shelf::new(cache, "kilonova", &key);
    let archive = archive(shelf, &settings, fill, reference).await?;
    step.done_with(&archive.reference);
    Ok(archive)
}

/// The image of a pod's own process: a static program that waits for its end.
pub async fn pause(cache: &Path, progress: &Progress) -> Result<Archive> {
    const SOURCE: &str = include_str!("pause.c");
    let step = progress.step("container image of pause");
    let settings = Settings {
        user: "65535:65535".to_owned(),
        entrypoint: vec!["/pause".to_owned()],
        ..Settings::default()
    };
    let fill = async |root: &Path| {
        fs::create_dir(root)?;
        let mut compile = command("cc -static -Os -s -x c - -o".split(' '));
        compile.arg(root.join("pause"));
        let compiled = crate::command::run_with_input(&mut compile, SOURCE.as_bytes()).await;
        compiled.context("failed to compile pause.c: is libc6-dev installed?")?;
        fs::set_permissions(root.join("pause"), Permissions::from_mode(0o755))?;
        Ok(())
    };
    let shelf = Shelf::new(cache, "pause", &key_of_text(SOURCE));
    let (repository, tag) = PAUSE.split_once(':').unwrap_or((PAUSE, "latest"));
    let archive = archive(shelf, &settings, fill, |_| Reference::new(repository, tag)).await?;
    step.done_with(&archive.reference);
    Ok(archive)
}

/// What the image of Kilonova with this digest is called.
pub fn reference(digest: &str) -> Reference {
    let version = env!("CARGO_PKG_VERSION"); // the workspace's, and so the chart's `appVersion`
    let tag = format!("{version}-{}", hexadecimal(digest, TAG_DIGITS));
    Reference::new(REPOSITORY, &tag)
}

/// The archive on its shelf, made now if need be from the files that `fill` puts into a folder.
async fn archive(
    shelf: Shelf,
    settings: &Settings,
    fill: impl AsyncFnOnce(&Path) -> Result<()>,
    name: impl Fn(&str) -> Reference + Send + 'static,
) -> Result<Archive> {
    if let Some(archive) = shelf.finished() {
        return Ok(archive);
    }
    let builder = shelf.lock().await?;
    if let Some(archive) = shelf.finished() {
        return Ok(archive);
    }
    let scratch = shelf.scratch()?;
    let root = scratch.path().join("root");
    fill(&root).await?;
    let settings = settings.clone();
    // The lock and the folder go along: when this function is dropped meanwhile, the thread still ends its work.
    blocking(move || {
        let (_builder, scratch) = (builder, scratch);
        let unfinished = scratch.path().join("archive");
        let name_of = |digest: &str| name(digest).to_string();
        let written = oci::write(&root, &settings, name_of, &unfinished)?;
        let archive = Archive {
            path: shelf.archive(),
            reference: name(&written.digest),
            digest: written.digest,
            compressed_bytes: written.compressed_bytes,
            unpacked_bytes: written.unpacked_bytes,
        };
        shelf.put(&unfinished, &archive)?;
        Ok(archive)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.context("the thread that works on the image died")?
}

/// Changes with any of the files, and with how this program writes images.
fn key(files: &[PathBuf]) -> Result<String> {
    let mut digests = String::new();
    for path in files {
        let digest = digest::of_file(path);
        digests += &digest.with_context(|| format!("failed to read {}", path.display()))?;
    }
    Ok(key_of_text(&digests))
}

fn key_of_text(text: &str) -> String {
    let all = [text, WRITER[0], WRITER[1]].concat();
    let digest = digest::of(all.as_bytes());
    hexadecimal(&digest, KEY_DIGITS).to_owned()
}

/// The first digits of a digest.
fn hexadecimal(digest: &str, digits: usize) -> &str {
    let all = digest.trim_start_matches("sha256:");
    all.get(..digits).unwrap_or(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn containerfile() -> String {
        fs::read_to_string(workspace().join("Containerfile")).unwrap()
    }

    #[test]
    fn both_kinds_of_build_take_their_files_from_the_same_script() {
        let text = containerfile();
        for line in [
            "RUN .ci/image-root target/release/kilonova /image",
            "RUN cargo build --locked --release --bin kilonova",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line}");
        }
        let rust = env!("CARGO_PKG_RUST_VERSION");
        let stage = format!("FROM docker.io/library/rust:{rust}-bookworm AS build");
        assert!(text.lines().any(|found| found == stage), "no {stage}");
    }

    #[test]
    fn the_image_runs_kilonova_as_nobody_in_particular() {
        let settings = Settings::of_containerfile(&containerfile()).unwrap();
        assert_eq!(settings.user, "65532:65532");
        assert_eq!(settings.entrypoint, ["/usr/bin/kilonova"]);
        let label = |name: &str| &settings.labels[&format!("org.opencontainers.image.{name}")];
        assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(label("licenses"), env!("CARGO_PKG_LICENSE"));
    }

    #[test]
    fn a_tag_follows_from_version_and_digest() {
        let reference = reference("sha256:0123456789abcdef");
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!("{REPOSITORY}:{version}-0123456789ab");
        assert_eq!(reference.to_string(), expected);
    }

    #[test]
    fn the_key_follows_from_each_file() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        let key_with = |texts: [&str; 2]| {
            for (path, text) in paths.iter().zip(texts) {
                fs::write(path, text).unwrap();
            }
            key(&paths).unwrap()
        };
        let one = key_with(["1", "2"]);
        assert_eq!(one.len(), KEY_DIGITS);
        assert_eq!(one, key_with(["1", "2"]));
        for other in [["1", "3"], ["2", "1"], ["12", ""]] {
            assert_ne!(one, key_with(other));
        }
    }
}
