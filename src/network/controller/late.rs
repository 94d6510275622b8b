//! Since when an object keeps news to itself that may be told a little later. How much later is the plan's to say
//! ([`crate::network::plan::patience`]).

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::network::plan::topology::Uid;

/// Whose status is late, and since when.
#[derive(Default)]
pub struct Late(Mutex<HashMap<Uid, Instant>>);

impl Late {
    /// How long a status may still wait of which all that is new has so much time; none if it is to be written now.
    pub fn may_wait(&self, uid: &str, patience: Option<Duration>) -> Option<Duration> {
        // Whoever panicked left times that are right.
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(patience) = patience else {
            since.remove(uid);
            return None;
        };
        let first = *since.entry(uid.to_owned()).or_insert_with(Instant::now);
        let left = patience.saturating_sub(first.elapsed());
        if left.is_zero() {
            since.remove(uid);
            return None;
        }
        Some(left)
    }

    /// The object is gone.
    pub fn forget(&self, uid: &str) {
        self.may_wait(uid, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::plan::patience::COUNTS;

    #[tokio::test(start_paused = true)]
    async fn news_waits_from_the_first_that_is_late_and_what_cannot_wait_takes_it_along() {
        let late = Late::default();
        assert_eq!(late.may_wait("n", Some(COUNTS)), Some(COUNTS));
        tokio::time::advance(COUNTS / 2).await;
        assert_eq!(late.may_wait("n", Some(COUNTS)), Some(COUNTS / 2));
        assert_eq!(late.may_wait("n", None), None, "all of it is written");
        assert_eq!(late.may_wait("n", Some(COUNTS)), Some(COUNTS));
        tokio::time::advance(COUNTS).await;
        assert_eq!(late.may_wait("n", Some(COUNTS)), None);
    }
}
