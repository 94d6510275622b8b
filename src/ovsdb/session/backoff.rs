//! How long to wait before servers are tried again.

use std::time::Duration;

/// The first wait.
const SHORTEST: Duration = Duration::from_secs(1);
/// Each wait is twice as long as the one before, up to this.
const LONGEST: Duration = Duration::from_secs(8);

/// Waits between attempts. Pure: it is told how long things took.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(SHORTEST)
    }
}

impl Backoff {
    /// How long to wait after all servers were tried in vain.
    pub fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(LONGEST);
        wait
    }

    /// A server was there for so long. Returns whether the next one may be tried at once: not after one that leaves whoever
    /// comes, or there would be no end of comings.
    pub fn served(&mut self, lived: Duration) -> bool {
        let is_proof = lived >= LONGEST;
        if is_proof {
            *self = Self::default();
        }
        is_proof
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..5).map(|_| backoff.next().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 8]);
        assert!(!backoff.served(Duration::from_secs(1)));
        assert_eq!(backoff.next().as_secs(), 8);
        assert!(backoff.served(LONGEST));
        assert_eq!(backoff.next(), SHORTEST);
    }
}
