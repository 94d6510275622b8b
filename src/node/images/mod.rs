//! The node's cache of disk images: each is downloaded once, verified, inspected and then shared by all guests.
//!
//! An image is named by its content, so a name that is there is right: `<state>/images/<sha256>.<format>`. Nobody
//! waits here: [`ImageCache::ensure`] says how things stand and sees to it that they move on. A file must never get
//! its final name before its digest and its header were checked, and one that was refused must never become a base.
//!
//! ```text
//!            ensure            digest and header good
//!   absent ─────────> downloading ─────────────────> ready ──> absent (retain: unused, and space is short)
//!     ^                    │
//!     └────────────────────┘ failed or refused: remembered for each address until it is time to try again
//! ```

mod download;
mod entry;
mod error;
#[cfg(test)]
mod qemu_tests;
mod store;
mod table;
#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::sync::{Semaphore, broadcast};

use crate::{
    api::{guest::ImageContent, image::CachedImage, value::Sha256},
    node::metrics::{Ended, ImageMetrics},
};

use download::{Download, Downloader};
use entry::{Key, Running, State};
use error::DownloadError;
use store::Store;
use table::Table;

/// Changes that a receiver may be behind before it is told that it lags. Three downloads make at most three changes
/// a second, so this is more than a minute.
const CHANGES_KEPT: usize = 256;

/// What the cache may use, and how patient it is.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Downloads at the same time; others wait for their turn.
    pub downloads_max: usize,
    /// Bytes of the largest file, whatever a caller allows.
    pub file_bytes_max: u64,
    /// Bytes of the disk that downloads leave free.
    pub free_bytes_reserve: u64,
    /// How long a server may take to accept a connection.
    pub connect_timeout: Duration,
    /// How long a server may take to answer, and to send `stall_bytes` more.
    pub stall_timeout: Duration,
    /// The bytes that have to arrive within `stall_timeout`: a trickle would hold one of few places for ever.
    pub stall_bytes: u64,
    /// Redirects that are followed.
    pub redirects_max: usize,
    /// Wait after a first failure that may pass; doubled after each further one.
    pub retry_first: Duration,
    /// Wait after a first failure that somebody has to mend, such as 404; doubled after each further one.
    pub retry_first_slow: Duration,
    /// The longest wait after a failure.
    pub retry_max: Duration,
    /// Wait after content was refused that may be another one later: a wrong digest, too many bytes.
    pub refused_retry: Duration,
    /// The least time between two changes that are only progress. Another tenth of the file is progress.
    pub progress_interval: Duration,
    /// For how long [`ImageCache::retain`] spares what `ensure` was asked for: its caller may not know yet of a guest
    /// that is being made.
    pub unused_grace: Duration,
    /// Images whose failures are remembered. The one that nobody has asked for longest is forgotten.
    pub failures_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            downloads_max: 3,
            file_bytes_max: 1 << 40,
            free_bytes_reserve: 1 << 30,
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            stall_bytes: 256 << 10, // less than 9 KiB/s is no way to get an image
            redirects_max: 5,
            retry_first: Duration::from_secs(1),
            retry_first_slow: Duration::from_secs(30),
            retry_max: Duration::from_mins(5),
            refused_retry: Duration::from_mins(10),
            progress_interval: Duration::from_secs(1),
            unused_grace: Duration::from_mins(2),
            failures_max: 1024, // at most 16 addresses each of at most 2 KiB: 48 MiB if all are hostile
        }
    }
}

/// Where an image stands on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Verified, and safe as a base.
    Ready {
        /// The file.
        path: PathBuf,
        /// Size of the disk that it describes. Whether a guest's disk is that large is for the caller to check.
        virtual_size: u64,
        /// Size of the file.
        size: u64,
    },
    /// On its way, or waiting for its turn: then there are no bytes yet.
    Downloading {
        /// How much is there; absent while the server does not say how large the file is.
        percent: Option<u8>,
        /// Bytes that have arrived.
        bytes: u64,
    },
    /// The last attempt failed in a way that may pass.
    Failed {
        /// What happened, for the user.
        message: String,
        /// After this, the next `ensure` tries again.
        retry_after: Duration,
    },
    /// The content is wrong, unsafe or too large.
    Refused {
        /// Why, for the user.
        message: String,
        /// After this, the next `ensure` looks whether the content is another one; absent: it cannot be.
        retry_after: Option<Duration>,
    },
}

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The process has not said which TLS implementation it uses.
    #[error("failed to prepare downloads: no TLS provider is installed in this process")]
    NoTlsProvider,
    /// No HTTP client can be made, e.g. since there are no CA certificates.
    #[error(
        "failed to prepare downloads: are CA certificates installed (package ca-certificates)?"
    )]
    Client(#[source] reqwest::Error),
    /// The file system said no.
    #[error("failed to {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The node's cache of disk images. Clones are the same cache.
#[derive(Clone, Debug)]
pub struct ImageCache {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    store: Store,
    downloader: Downloader,
    places: Semaphore,
    changes: broadcast::Sender<Sha256>,
    metrics: ImageMetrics,
    // A plain mutex: it is held for map operations, a `stat` and a `rename`, and never across an await.
    table: Mutex<Table>,
}

impl ImageCache {
    /// Opens the cache in `<state>/images`: takes up the images that are there and removes what was unfinished.
    ///
    /// Assumptions: the process has installed its TLS provider, and no other process uses the folder.
    pub fn new(
        state_dir: &Path,
        limits: Limits,
        metrics: ImageMetrics,
    ) -> Result<Self, CacheError> {
        let store = Store::open(state_dir)?;
        let mut table = Table::default();
        for (key, stored, used_at) in store.scan()? {
            table.add_stored(key, stored, used_at);
        }
        let shared = Shared {
            downloader: Downloader::new(&limits, metrics.downloaded.clone())?,
            places: Semaphore::new(limits.downloads_max),
            changes: broadcast::Sender::new(CHANGES_KEPT),
            table: Mutex::new(table),
            limits,
            store,
            metrics,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Says where an image stands, and starts its download when it is time for that. Returns at once.
    ///
    /// `limit_bytes` is the largest file that is of use to the caller (`plan::image_format::file_size_limit`): a
    /// download stops there. One that several wait for goes by the largest.
    ///
    /// Assumptions: it is called inside a tokio runtime, again and again for as long as the image is needed.
    pub fn ensure(&self, image: &ImageContent, limit_bytes: u64) -> Presence {
        let limit_bytes = limit_bytes.min(self.shared.limits.file_bytes_max);
        let mut table = self.shared.lock();
        let id = table.next_id();
        let entry = table.entry(Key::of(image), &self.shared.limits);
        let now = SystemTime::now();
        entry.used_at = now;
        if let Some(presence) = entry.presence(&image.url, limit_bytes, now) {
            return presence;
        }
        let running = Running::new(id, limit_bytes);
        let job = Job {
            shared: Arc::clone(&self.shared),
            image: image.clone(),
            running: running.clone(),
        };
        let task = tokio::spawn(job.run()).abort_handle();
        entry.become_state(State::Downloading(running, task));
        drop(table);
        self.shared.changed(&image.sha256);
        Presence::Downloading {
            percent: None,
            bytes: 0,
        }
    }

    /// Where the image is, or would be.
    pub fn path(&self, image: &ImageContent) -> PathBuf {
        self.shared.store.path(&Key::of(image))
    }

    /// The digest of the image that a file of the cache is, by its name.
    pub fn digest(path: &Path) -> Option<Sha256> {
        store::parse_name(path.file_name()?.to_str()?).map(|key| key.sha256)
    }

    /// The digests of images whose presence changes from now on; mere progress at most once in
    /// [`Limits::progress_interval`] for each image. A receiver that lags must look at every image.
    pub fn changes(&self) -> broadcast::Receiver<Sha256> {
        self.shared.changes.subscribe()
    }

    /// All images that the cache has something to say of, in order.
    pub fn list(&self) -> Vec<CachedImage> {
        self.shared.lock().list()
    }

    /// Brings up to date what Prometheus is told of the images.
    pub fn count(&self) {
        self.shared.metrics.see(&self.list());
    }

    /// Gives back what nobody needs, and returns the digests of the images that were removed.
    ///
    /// Ends downloads and forgets failures of images that are not `in_use`. Removes unused images, least recently
    /// used first, while all images together take more than `budget_bytes` or the disk has less free space than
    /// downloads leave.
    ///
    /// Assumptions: `in_use` names the image of every guest that has a root disk or shall have one. Never call this
    /// before all guests are known: overlays whose base is removed are lost.
    pub async fn retain(
        &self,
        in_use: &HashSet<Sha256>,
        budget_bytes: u64,
    ) -> Result<Vec<Sha256>, CacheError> {
        let shared = &self.shared;
        let spared_since = SystemTime::now() - shared.limits.unused_grace;
        let free = shared.store.free_bytes()?;
        let short = shared.limits.free_bytes_reserve.saturating_sub(free);
        let mut condemned = Vec::new();
        let mut touched: Vec<Sha256>;
        {
            let mut table = shared.lock();
            touched = table.forget_unused(in_use, spared_since);
            for key in table.evictable(in_use, spared_since, budget_bytes, short) {
                match shared.store.condemn(&key) {
                    Ok(path) => {
                        table.remove(&key);
                        condemned.push((key, path));
                    }
                    // It stays in the table, and so for the next time.
                    Err(error) => {
                        tracing::warn!(sha256 = %key.sha256, %error, "image not evicted");
                    }
                }
            }
        }
        let removed: Vec<_> = condemned
            .iter()
            .map(|(key, _)| key.sha256.clone())
            .collect();
        touched.extend(removed.iter().cloned());
        for digest in &touched {
            shared.changed(digest);
        }
        for (_, path) in condemned {
            store::remove(&path).await?;
        }
        Ok(removed)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        // A panic under the lock cannot leave a map half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self, digest: &Sha256) {
        // An error means that nobody listens, which is fine.
        let _ = self.changes.send(digest.clone());
    }

    /// Takes up the outcome of a download, unless the image has been given up meanwhile: then the file goes with it.
    fn finish(
        &self,
        image: &ImageContent,
        running: &Running,
        outcome: Result<Download, DownloadError>,
    ) {
        let key = Key::of(image);
        let mut table = self.lock();
        let Some(entry) = table.downloading(&key, running.id) else {
            return;
        };
        // Under the lock, so that the name and the table always agree.
        let outcome = outcome.and_then(|download| self.store.publish(&key, download));
        let word = outcome
            .as_ref()
            .map_or_else(DownloadError::word, |_| "done");
        let ended = Ended { outcome: word };
        self.metrics.downloads.get_or_create(&ended).inc();
        match outcome {
            Ok(stored) => {
                let size = stored.size;
                tracing::info!(image = %image.name, sha256 = %key.sha256, size, "image is ready");
                entry.failures.clear();
                entry.become_state(State::Stored(stored));
            }
            Err(error) => {
                let message = error.message();
                tracing::warn!(image = %image.name, sha256 = %key.sha256, error = %message, "image download failed");
                entry.fail(&image.url, &error, running.limit_bytes(), &self.limits);
            }
        }
        drop(table);
        self.changed(&key.sha256);
    }
}

/// One download in the background.
struct Job {
    shared: Arc<Shared>,
    image: ImageContent,
    running: Running,
}

impl Job {
    async fn run(self) {
        let Self {
            shared,
            image,
            running,
        } = self;
        // Only a closed semaphore gives an error, and nobody closes this one.
        let Ok(_place) = shared.places.acquire().await else {
            return;
        };
        let progressed = || shared.changed(&image.sha256);
        let outcome = shared
            .downloader
            .run(&image, &shared.store, &running, &progressed)
            .await;
        shared.finish(&image, &running, outcome);
    }
}
