//! Builds an image once: under a lock, in a scratch folder, renamed into the cache when it is whole.
//!
//! The scripts run in mount and process namespaces of their own, so that whatever ends them (an error, a dropped
//! future, a signal) also ends their children and undoes their mounts. Never touches a finished image.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use tokio::fs;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use super::Image;
use super::recipe::Recipe;
use crate::command::tail;
use crate::lock::lock;
use crate::progress::{Progress, Step};

/// How much of the log an error quotes.
const QUOTED_LINES: usize = 15;
/// What a script's line begins with when it is meant for the progress bar.
const STEP: &str = "step: ";
/// A qcow2 header up to the end of the field that holds the disk's size.
const HEADER_BYTES: usize = 32;

/// The finished image, built now if need be.
pub(super) async fn image(recipe: &Recipe, cache: &Path, progress: &Progress) -> Result<Image> {
    let places = Places::new(recipe, cache)?;
    if let Some(image) = places.finished().await? {
        return Ok(image);
    }
    let step = progress.step(format!("guest image {}", recipe.name));
    step.message("waiting for another run that builds it");
    let _builder = lock(&places.lock).await?;
    let image = match places.finished().await? {
        Some(image) => image,
        None => build(recipe, cache, &places, &step).await?,
    };
    step.done();
    Ok(image)
}

/// Where everything of one recipe lies in the cache.
struct Places {
    name: &'static str,
    image: PathBuf,
    digest: PathBuf,
    log: PathBuf,
    lock: PathBuf,
    scratch_prefix: String,
}

impl Places {
    fn new(recipe: &Recipe, cache: &Path) -> Result<Self> {
        let name = recipe.name;
        let programs = recipe.programs.iter().map(|program| program.digest());
        let key = recipe.key(&programs.collect::<Result<Vec<_>>>()?);
        Ok(Self {
            name,
            image: cache.join(format!("{name}-{key}.qcow2")),
            digest: cache.join(format!("{name}-{key}.sha256")),
            log: cache.join(format!("{name}-build.log")),
            lock: cache.join(format!("{name}-build.lock")),
            scratch_prefix: format!(".{name}-build-"),
        })
    }

    /// The image, if it is there. The digest is put into place before the image, so the image is the sign.
    async fn finished(&self) -> Result<Option<Image>> {
        if !fs::try_exists(&self.image).await.unwrap_or(false) {
            return Ok(None);
        }
        let context = || format!("failed to read {}", self.image.display());
        let sha256 = fs::read_to_string(&self.digest)
            .await
            .with_context(context)?;
        let mut header = [0; HEADER_BYTES];
        let mut file = fs::File::open(&self.image).await.with_context(context)?;
        file.read_exact(&mut header).await.with_context(context)?;
        Ok(Some(Image {
            name: self.name,
            path: self.image.clone(),
            sha256: sha256.trim().to_owned(),
            virtual_size_bytes: virtual_size_bytes(&header).with_context(context)?,
        }))
    }
}

/// Builds; the caller holds the lock.
async fn build(recipe: &Recipe, cache: &Path, places: &Places, step: &Step) -> Result<Image> {
    remove_leftovers(cache, &places.scratch_prefix).await;
    let scratch = tempfile::Builder::new()
        .prefix(&places.scratch_prefix)
        .tempdir_in(cache)
        .with_context(|| format!("failed to make a scratch folder in {}", cache.display()))?;
    for (name, text) in recipe.files {
        let path = scratch.path().join(name);
        fs::write(&path, text)
            .await
            .with_context(|| format!("failed to write {}", path.display()))?;
    }
    for program in recipe.programs {
        step.message(format!("building {} for it", program.name()));
        program.lay_out(scratch.path()).await?;
    }
    let status = run_script(scratch.path(), &places.log, step).await?;
    if !status.success() {
        let log = fs::read_to_string(&places.log).await.unwrap_or_default();
        bail!(
            "failed to build the guest image {} ({status}); the build said last:\n{}\nThe whole log: {}\nWhat to \
             do: see that `apt-get update` works and that the disk has 4 GB to spare, and start again.",
            recipe.name,
            tail(&log, QUOTED_LINES),
            places.log.display()
        );
    }
    for (from, to) in [
        ("disk.sha256", &places.digest),
        ("disk.qcow2", &places.image),
    ] {
        fs::rename(scratch.path().join(from), to)
            .await
            .with_context(|| format!("failed to put {} into place", to.display()))?;
    }
    places
        .finished()
        .await?
        .context("the image vanished as soon as it was built")
}

/// A run that was killed could not remove its scratch folder. Nobody else builds while we hold the lock.
async fn remove_leftovers(cache: &Path, prefix: &str) {
    let Ok(mut entries) = fs::read_dir(cache).await else {
        return;
    };
    while let Ok(Some(entry)) = entries.next_entry().await {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            // What cannot be removed only takes room.
            let _ = fs::remove_dir_all(entry.path()).await;
        }
    }
}

/// Runs `build.sh`; its words go to the log, its steps also to the progress bar.
async fn run_script(folder: &Path, log: &Path, step: &Step) -> Result<ExitStatus> {
    let mut child = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-eu", "build.sh"])
        .current_dir(folder)
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LC_ALL", "C.UTF-8")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped()) // lib.sh sends standard error the same way
        .kill_on_drop(true)
        .spawn()
        .context("failed to start `unshare` (from Debian's util-linux)")?;
    let stdout = child
        .stdout
        .take()
        .context("the build has no standard output")?;
    let mut log_file = fs::File::create(log)
        .await
        .with_context(|| format!("failed to make {}", log.display()))?;
    let mut lines = BufReader::new(stdout).split(b'\n');
    while let Some(line) = lines
        .next_segment()
        .await
        .context("failed to read from the build")?
    {
        let line = String::from_utf8_lossy(&line);
        if let Some(message) = line.strip_prefix(STEP) {
            step.message(message);
        }
        let written = log_file.write_all(format!("{line}\n").as_bytes()).await;
        written.with_context(|| format!("failed to write {}", log.display()))?;
    }
    log_file
        .flush()
        .await
        .with_context(|| format!("failed to write {}", log.display()))?;
    child.wait().await.context("failed to wait for the build")
}

/// The size of the disk that a qcow2 file describes.
fn virtual_size_bytes(header: &[u8; HEADER_BYTES]) -> Result<u64> {
    let size = header.last_chunk().copied().unwrap_or_default();
    if !header.starts_with(b"QFI\xfb") {
        bail!("not a qcow2 file");
    }
    Ok(u64::from_be_bytes(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Recipe = Recipe {
        name: "good",
        programs: &[],
        files: &[(
            "build.sh",
            "echo step: x; printf 'QFI\\373%20s\\0\\0\\0\\0\\0\\0\\002\\001' '' >disk.qcow2; echo abc >disk.sha256",
        )],
    };
    const BAD: Recipe = Recipe {
        name: "bad",
        programs: &[],
        files: &[("build.sh", "echo why it failed; touch disk.qcow2; exit 3")],
    };

    /// Its child holds a lock in the cache for as long as it lives.
    const SLOW: Recipe = Recipe {
        name: "slow",
        programs: &[],
        files: &[(
            "build.sh",
            "flock ../held sh -c 'touch ../started; sleep 600'",
        )],
    };

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn builds_once_and_leaves_only_results() {
        let cache = tempfile::tempdir().unwrap();
        std::fs::create_dir(cache.path().join(".good-build-leftover")).unwrap();
        let progress = Progress::silent();
        let (one, two) = tokio::join!(
            image(&GOOD, cache.path(), &progress),
            image(&GOOD, cache.path(), &progress)
        );
        let one = one.unwrap();
        assert_eq!(one, two.unwrap());
        assert_eq!(one.virtual_size_bytes, 0x201);
        assert_eq!(one.sha256, "abc");
        let key = GOOD.key(&[]);
        let mut expected = ["build.lock", "build.log"]
            .map(|end| format!("good-{end}"))
            .to_vec();
        expected.extend(["qcow2", "sha256"].map(|end| format!("good-{key}.{end}")));
        expected.sort();
        assert_eq!(names(cache.path()), expected);
    }

    #[tokio::test]
    async fn a_failure_says_why_and_leaves_no_image() {
        let cache = tempfile::tempdir().unwrap();
        let error = image(&BAD, cache.path(), &Progress::silent())
            .await
            .unwrap_err();
        let text = format!("{error:#}");
        for part in [
            "guest image bad",
            "exit status: 3",
            "why it failed",
            "bad-build.log",
        ] {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
        assert_eq!(names(cache.path()), ["bad-build.lock", "bad-build.log"]);
    }

    #[tokio::test]
    async fn a_dropped_build_leaves_no_process_and_no_scratch_folder() {
        let cache = tempfile::tempdir().unwrap();
        let started = async {
            while !cache.path().join("started").exists() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let progress = Progress::silent();
        tokio::select! {
            built = image(&SLOW, cache.path(), &progress) => panic!("{built:?}"),
            () = started => {}
        }
        // Ends when the child has; the test would hang otherwise.
        let _free = lock(&cache.path().join("held")).await.unwrap();
        assert_eq!(
            names(cache.path()),
            ["held", "slow-build.lock", "slow-build.log", "started"]
        );
    }

    #[test]
    fn refuses_what_is_no_qcow2() {
        assert!(virtual_size_bytes(&[0; HEADER_BYTES]).is_err());
    }
}
