//! Counts in statuses follow a little later: how many ports a network has, or how many addresses are left of a subnet. A
//! thousand ports would else cost their networks, subnets and groups a write each time that some of them come.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::network::plan::topology::Uid;

/// For how long a count may be wrong.
const LATE_MAX: Duration = Duration::from_secs(5);

/// Whose counts are wrong, and since when.
#[derive(Default)]
pub struct Counts(Mutex<HashMap<Uid, Instant>>);

impl Counts {
    /// How long the status of an object may wait in which nothing else is new than counts; none if it is to be written now.
    pub fn may_wait(&self, uid: &str, only_counts: bool) -> Option<Duration> {
        // Whoever panicked left times that are right.
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !only_counts {
            since.remove(uid);
            return None;
        }
        let first = *since.entry(uid.to_owned()).or_insert_with(Instant::now);
        let left = LATE_MAX.saturating_sub(first.elapsed());
        if left.is_zero() {
            since.remove(uid);
            return None;
        }
        Some(left)
    }

    /// The object is gone.
    pub fn forget(&self, uid: &str) {
        self.may_wait(uid, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn counts_wait_from_the_first_that_is_wrong_and_other_news_takes_them_along() {
        let counts = Counts::default();
        assert_eq!(counts.may_wait("n", true), Some(LATE_MAX));
        tokio::time::advance(LATE_MAX / 2).await;
        assert_eq!(counts.may_wait("n", true), Some(LATE_MAX / 2));
        assert_eq!(counts.may_wait("n", false), None, "all of it is written");
        assert_eq!(counts.may_wait("n", true), Some(LATE_MAX));
        tokio::time::advance(LATE_MAX).await;
        assert_eq!(counts.may_wait("n", true), None);
    }
}
