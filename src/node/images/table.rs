//! All that the cache knows, in memory, by image.
//!
//! Plain data under one lock. Nothing in here may wait or touch a file; everything that grows has a bound.

use std::{
    collections::{BTreeMap, HashSet},
    time::SystemTime,
};

use super::{
    Limits,
    entry::{Entry, Key, State, Stored},
};
use crate::api::{image::CachedImage, value::Sha256};

/// All images.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: BTreeMap<Key, Entry>,
    last_id: u64,
}

impl Table {
    /// A number for a download that none had before.
    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub fn add_stored(&mut self, key: Key, stored: Stored, used_at: SystemTime) {
        self.entries
            .insert(key, Entry::new(State::Stored(stored), used_at));
    }

    /// The entry of an image, new if there is none. Then an old failure may be forgotten to make room.
    pub fn entry(&mut self, key: Key, limits: &Limits) -> &mut Entry {
        if !self.entries.contains_key(&key) {
            self.make_room(limits.failures_max);
        }
        self.entries
            .entry(key)
            .or_insert_with(|| Entry::new(State::Absent, SystemTime::now()))
    }

    fn make_room(&mut self, failures_max: usize) {
        let absent = || {
            self.entries
                .iter()
                .filter(|(_, entry)| matches!(entry.state, State::Absent))
        };
        if absent().count() < failures_max {
            return;
        }
        let oldest = absent()
            .min_by_key(|(_, entry)| entry.used_at)
            .map(|(key, _)| key.clone());
        oldest.map(|key| self.entries.remove(&key));
    }

    /// The entry of an image if this very download of it is still wanted.
    pub fn downloading(&mut self, key: &Key, id: u64) -> Option<&mut Entry> {
        self.entries.get_mut(key).filter(
            |entry| matches!(&entry.state, State::Downloading(running, _) if running.id == id),
        )
    }

    pub fn list(&self) -> Vec<CachedImage> {
        self.entries
            .iter()
            .filter_map(|(key, entry)| entry.describe(key))
            .collect()
    }

    pub fn remove(&mut self, key: &Key) {
        self.entries.remove(key);
    }

    /// Ends downloads and forgets failures of unused images; says whose.
    pub fn forget_unused(
        &mut self,
        in_use: &HashSet<Sha256>,
        spared_since: SystemTime,
    ) -> Vec<Sha256> {
        let unused = self.entries.extract_if(.., |key, entry| {
            is_unused(key, entry, in_use, spared_since) && !matches!(entry.state, State::Stored(_))
        });
        unused
            .map(|(key, entry)| {
                if let State::Downloading(_, task) = entry.state {
                    task.abort();
                }
                key.sha256
            })
            .collect()
    }

    /// The unused images to remove, least recently used first, so that the rest fits into the budget and so many
    /// bytes become free.
    pub fn evictable(
        &self,
        in_use: &HashSet<Sha256>,
        spared_since: SystemTime,
        budget_bytes: u64,
        short_bytes: u64,
    ) -> Vec<Key> {
        let stored = || {
            self.entries
                .iter()
                .filter_map(|(key, entry)| match &entry.state {
                    State::Stored(stored) => Some((key, entry, stored.size)),
                    State::Absent | State::Downloading(..) => None,
                })
        };
        let total: u64 = stored().map(|(_, _, size)| size).sum();
        let mut to_free = total.saturating_sub(budget_bytes).max(short_bytes);
        let mut unused: Vec<_> = stored()
            .filter(|(key, entry, _)| is_unused(key, entry, in_use, spared_since))
            .collect();
        unused.sort_by_key(|(_, entry, _)| entry.used_at);
        unused
            .into_iter()
            .take_while(|(_, _, size)| {
                let needed = to_free > 0;
                to_free = to_free.saturating_sub(*size);
                needed
            })
            .map(|(key, _, _)| key.clone())
            .collect()
    }
}

fn is_unused(key: &Key, entry: &Entry, in_use: &HashSet<Sha256>, spared_since: SystemTime) -> bool {
    !in_use.contains(&key.sha256) && entry.used_at <= spared_since
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use super::*;
    use crate::{
        api::image::DiskFormat,
        node::images::{entry::ADDRESSES_MAX, error::DownloadError},
    };

    fn digest(digit: char) -> Sha256 {
        digit.to_string().repeat(64).parse().unwrap()
    }

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn the_least_recently_used_go_first_and_only_as_many_as_needed() {
        let mut table = Table::default();
        for (digit, used_at) in [('a', 30), ('b', 10), ('c', 20), ('d', 5), ('e', 100)] {
            let key = Key {
                sha256: digest(digit),
                format: DiskFormat::Raw,
            };
            let stored = Stored {
                path: PathBuf::new(),
                size: 100,
                virtual_size: Ok(100),
            };
            table.add_stored(key, stored, at(used_at));
        }
        let in_use = HashSet::from([digest('d')]);
        let evicted = |budget, short| -> Vec<Sha256> {
            let keys = table.evictable(&in_use, at(99), budget, short);
            keys.into_iter().map(|key| key.sha256).collect()
        };
        assert_eq!(evicted(500, 0), []);
        assert_eq!(evicted(499, 0), [digest('b')]);
        assert_eq!(evicted(300, 0), [digest('b'), digest('c')]);
        assert_eq!(evicted(500, 101), [digest('b'), digest('c')]);
        // What is in use or was asked for lately stays, whatever the shortage.
        assert_eq!(
            evicted(0, u64::MAX),
            [digest('b'), digest('c'), digest('a')]
        );
    }

    #[test]
    fn failures_are_forgotten_before_they_fill_the_memory() {
        let limits = Limits {
            failures_max: 3,
            ..Limits::default()
        };
        let mut table = Table::default();
        for number in 0..100_u64 {
            let key = Key {
                sha256: format!("{number:064x}").parse().unwrap(),
                format: DiskFormat::Raw,
            };
            let entry = table.entry(key, &limits);
            entry.used_at = at(number);
            for url in 0..100 {
                let error = DownloadError::Status {
                    url: String::new(),
                    status: 404,
                };
                entry.fail(&format!("http://{url}/"), &error, 1, &limits);
            }
            assert_eq!(entry.failures.len(), ADDRESSES_MAX);
        }
        let kept: Vec<_> = table.list().into_iter().map(|image| image.sha256).collect();
        let newest = [97, 98, 99].map(|number: u64| format!("{number:064x}").parse().unwrap());
        assert_eq!(kept, newest);
    }
}
