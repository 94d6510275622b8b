//! What the cache knows of one image: where it stands, and what went wrong before.
//!
//! Plain data under the cache's lock. Nothing in here may wait, touch a file's content or start anything.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::task::AbortHandle;

use super::{
    Limits, Presence,
    error::{DownloadError, Remedy},
};
use crate::api::{
    condition::whole_seconds,
    guest::ImageContent,
    image::{CacheState, CachedImage, DiskFormat},
    value::{Sha256, Size},
};

/// Addresses of one image whose failures are remembered.
pub(super) const ADDRESSES_MAX: usize = 16;
/// Downloads whose digest is wrong before the content is refused: one may be a transfer that was damaged.
const MISMATCHES_MAX: u32 = 2;

/// An image as the cache names it. The format belongs to it: only one of the two can be true, but anybody can
/// declare the other one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub sha256: Sha256,
    pub format: DiskFormat,
}

impl Key {
    pub fn of(image: &ImageContent) -> Self {
        Self {
            sha256: image.sha256.clone(),
            format: image.format,
        }
    }
}

/// A file under its final name.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub path: PathBuf,
    pub size: u64,
    /// The disk's size, or why the file must not become a base. A file that an older agent accepted may fail a newer
    /// one's inspection; it stays for the guests that stand on it.
    pub virtual_size: Result<u64, String>,
}

/// A download on its way. Clones are the same download.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub id: u64,
    pub progress: Arc<Progress>,
}

#[derive(Debug)]
pub(super) struct Progress {
    /// Bytes that have arrived.
    pub bytes: AtomicU64,
    /// Bytes that the server has promised; 0: it has not said.
    pub total: AtomicU64,
    limit: AtomicU64,
}

impl Running {
    pub fn new(id: u64, limit_bytes: u64) -> Self {
        let progress = Progress {
            bytes: AtomicU64::new(0),
            total: AtomicU64::new(0),
            limit: AtomicU64::new(limit_bytes),
        };
        Self {
            id,
            progress: Arc::new(progress),
        }
    }

    pub fn limit_bytes(&self) -> u64 {
        self.progress.limit.load(Ordering::Relaxed)
    }

    /// How many tenths are there: what is worth telling anybody.
    pub fn tenths(&self) -> Option<u8> {
        self.percent_and_bytes().0.map(|percent| percent / 10)
    }

    fn percent_and_bytes(&self) -> (Option<u8>, u64) {
        let bytes = self.progress.bytes.load(Ordering::Relaxed);
        let total = self.progress.total.load(Ordering::Relaxed);
        let percent = (u128::from(bytes) * 100).checked_div(u128::from(total));
        (
            percent.map(|percent| u8::try_from(percent).unwrap_or(100).min(100)),
            bytes,
        )
    }
}

#[derive(Debug)]
pub(super) enum State {
    Absent,
    Downloading(Running, AbortHandle),
    Stored(Stored),
}

#[derive(Clone, Debug)]
pub(super) struct Failure {
    message: String,
    remedy: Remedy,
    attempts: u32,
    mismatches: u32,
    limit_bytes: u64,
    failed_at: SystemTime,
    /// Absent: the content cannot become another one.
    retry_at: Option<SystemTime>,
}

impl Failure {
    fn is_refusal(&self) -> bool {
        match self.remedy {
            Remedy::TrySoon | Remedy::TrySlowly => false,
            Remedy::TryOnceMore => self.mismatches >= MISMATCHES_MAX,
            Remedy::AllowMore | Remedy::Never => true,
        }
    }

    fn is_due(&self, limit_bytes: u64, now: SystemTime) -> bool {
        let may_be_larger = self.remedy == Remedy::AllowMore && limit_bytes > self.limit_bytes;
        may_be_larger || self.retry_at.is_some_and(|at| at <= now)
    }

    fn presence(&self, now: SystemTime) -> Presence {
        let message = self.message.clone();
        let retry_after = self
            .retry_at
            .map(|at| at.duration_since(now).unwrap_or_default());
        match retry_after {
            Some(retry_after) if !self.is_refusal() => Presence::Failed {
                message,
                retry_after,
            },
            retry_after => Presence::Refused {
                message,
                retry_after,
            },
        }
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub state: State,
    /// By address: a wrong one must not stand in the way of a right one for the same content.
    pub failures: BTreeMap<String, Failure>,
    pub used_at: SystemTime,
    since: Timestamp,
}

impl Entry {
    pub fn new(state: State, used_at: SystemTime) -> Self {
        Self {
            state,
            failures: BTreeMap::new(),
            used_at,
            since: Timestamp::now(),
        }
    }

    pub fn become_state(&mut self, state: State) {
        self.state = state;
        self.since = Timestamp::now();
    }

    /// How things stand for somebody who would download from `url`; absent: it is time to do so.
    pub fn presence(&mut self, url: &str, limit_bytes: u64, now: SystemTime) -> Option<Presence> {
        match &self.state {
            // Somebody may have emptied the folder by hand.
            State::Stored(stored) if stored.path.is_file() => return Some(stored.presence()),
            // A download ends by changing the state, so one that has just ended was broken off.
            State::Downloading(running, task) if !task.is_finished() => {
                running
                    .progress
                    .limit
                    .fetch_max(limit_bytes, Ordering::Relaxed);
                let (percent, bytes) = running.percent_and_bytes();
                return Some(Presence::Downloading { percent, bytes });
            }
            State::Absent => {}
            State::Stored(_) | State::Downloading(..) => self.become_state(State::Absent),
        }
        self.failures
            .get(url)
            .filter(|failure| !failure.is_due(limit_bytes, now))
            .map(|failure| failure.presence(now))
    }

    /// Remembers that a download failed, and when the next one may begin.
    pub fn fail(&mut self, url: &str, error: &DownloadError, limit_bytes: u64, limits: &Limits) {
        let now = SystemTime::now();
        let remedy = error.remedy();
        let before = self.failures.remove(url);
        let attempts = before.as_ref().map_or(0, |failure| failure.attempts) + 1;
        let mismatches = before.as_ref().map_or(0, |failure| failure.mismatches)
            + u32::from(remedy == Remedy::TryOnceMore);
        let wait = match remedy {
            Remedy::TrySoon => Some(backoff(limits.retry_first, attempts, limits.retry_max)),
            Remedy::TrySlowly => Some(backoff(limits.retry_first_slow, attempts, limits.retry_max)),
            Remedy::TryOnceMore if mismatches < MISMATCHES_MAX => Some(limits.retry_first),
            Remedy::TryOnceMore | Remedy::AllowMore => Some(limits.refused_retry),
            Remedy::Never => None,
        };
        if self.failures.len() >= ADDRESSES_MAX {
            let oldest = self
                .failures
                .iter()
                .min_by_key(|(_, failure)| failure.failed_at);
            let oldest = oldest.map(|(url, _)| url.clone());
            oldest.map(|url| self.failures.remove(&url));
        }
        let failure = Failure {
            message: error.message(),
            remedy,
            attempts,
            mismatches,
            limit_bytes,
            failed_at: now,
            retry_at: wait.map(|wait| now + wait),
        };
        self.failures.insert(url.to_owned(), failure);
        self.become_state(State::Absent);
    }

    pub fn describe(&self, key: &Key) -> Option<CachedImage> {
        let mut image = CachedImage {
            sha256: key.sha256.clone(),
            format: key.format,
            state: CacheState::Downloading,
            progress: None,
            size: None,
            virtual_size: None,
            message: None,
            // As it is written: else the report would differ from itself.
            since: Some(Time(whole_seconds(self.since))),
        };
        match &self.state {
            State::Downloading(running, _) => {
                image.progress = running.tenths().map(|tenths| tenths * 10);
            }
            State::Stored(stored) => {
                image.size = Some(Size::bytes(stored.size));
                match &stored.virtual_size {
                    Ok(virtual_size) => {
                        image.state = CacheState::Ready;
                        image.virtual_size = Some(Size::bytes(*virtual_size));
                    }
                    Err(message) => {
                        image.state = CacheState::Refused;
                        image.message = Some(message.clone());
                    }
                }
            }
            State::Absent => {
                let last = self
                    .failures
                    .values()
                    .max_by_key(|failure| failure.failed_at)?;
                image.message = Some(last.message.clone());
                image.state = if last.is_refusal() {
                    CacheState::Refused
                } else {
                    CacheState::Failed
                };
            }
        }
        Some(image)
    }
}

impl Stored {
    fn presence(&self) -> Presence {
        match &self.virtual_size {
            Ok(virtual_size) => Presence::Ready {
                path: self.path.clone(),
                virtual_size: *virtual_size,
                size: self.size,
            },
            Err(message) => Presence::Refused {
                message: message.clone(),
                retry_after: None,
            },
        }
    }
}

fn backoff(first: Duration, attempts: u32, most: Duration) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    first.saturating_mul(1 << doublings).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let wait =
            |attempts| backoff(Duration::from_secs(1), attempts, Duration::from_mins(5)).as_secs();
        assert_eq!(
            [1, 2, 3, 9, 10, u32::MAX].map(wait),
            [1, 2, 4, 256, 300, 300]
        );
    }
}
