//! Which objects the database refuses, and how they are found among many.
//!
//! A transaction that is refused as a whole is tried again for half as many objects, down to one: that one is left alone for
//! a while. Afterwards transactions grow again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// How long an object is left alone after it was refused for the first time; doubled each time.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);

/// The objects that were refused.
pub struct Refusals {
    refused: BTreeMap<String, Refusal>,
    objects_max: usize,
}

struct Refusal {
    reason: String,
    /// When it is tried again.
    until: Instant,
    pause: Duration,
    /// Whether it is left alone now.
    is_resting: bool,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            refused: BTreeMap::new(),
            objects_max: usize::MAX,
        }
    }
}

impl Refusals {
    /// For how many objects the next transaction may be.
    pub fn objects_max(&self) -> usize {
        self.objects_max
    }

    /// The objects that are left alone now.
    pub fn resting(&mut self, now: Instant) -> BTreeSet<String> {
        let mut resting = BTreeSet::new();
        for (uid, refusal) in &mut self.refused {
            refusal.is_resting = refusal.until > now;
            if refusal.is_resting {
                resting.insert(uid.clone());
            }
        }
        resting
    }

    /// When somebody is tried again.
    pub fn next(&self) -> Option<Instant> {
        let resting = self.refused.values().filter(|refusal| refusal.is_resting);
        resting.map(|refusal| refusal.until).min()
    }

    /// Why an object was refused; none, if it was not, or was taken since.
    pub fn reason(&self, uid: &str) -> Option<&str> {
        self.refused.get(uid).map(|refusal| refusal.reason.as_str())
    }

    /// A transaction for so many objects has happened.
    pub fn done(&mut self) {
        self.objects_max = self.objects_max.saturating_mul(2);
    }

    /// Objects whose rows are as they are wanted are refused no more.
    pub fn keep(&mut self, is_differing: impl Fn(&str) -> bool) {
        self.refused.retain(|uid, _| is_differing(uid));
    }

    /// A topology has come that may have changed any of them.
    pub fn forgive(&mut self, uid: &str) {
        self.refused.remove(uid);
    }

    /// The objects that were refused.
    pub fn uids(&self) -> Vec<String> {
        self.refused.keys().cloned().collect()
    }

    /// A transaction for these objects was refused, and, if that is known, because of `culprit`.
    pub fn refuse(&mut self, objects: &[&str], culprit: Option<&str>, reason: &str, now: Instant) {
        let culprit = culprit.filter(|uid| !self.is_resting(uid, now));
        match (culprit, objects) {
            (Some(culprit), _) => self.rest(culprit, reason, now),
            (None, [only]) => self.rest(only, reason, now),
            (None, objects) => self.objects_max = (objects.len() / 2).max(1),
        }
    }

    fn is_resting(&self, uid: &str, now: Instant) -> bool {
        let refusal = self.refused.get(uid);
        refusal.is_some_and(|refusal| refusal.until > now)
    }

    fn rest(&mut self, uid: &str, reason: &str, now: Instant) {
        let before = self.refused.get(uid);
        let pause = before.map_or(FIRST, |refusal| (refusal.pause * 2).min(LONGEST));
        self.refused.insert(
            uid.to_owned(),
            Refusal {
                reason: reason.to_owned(),
                until: now + pause,
                pause,
                is_resting: true,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_is_found() {
        let objects: Vec<String> = (0..100).map(|number| format!("o{number}")).collect();
        let now = Instant::now();
        let mut refusals = Refusals::default();
        let mut done: BTreeSet<&str> = BTreeSet::new();
        let mut transactions = 0;
        loop {
            let resting = refusals.resting(now);
            let left = objects.iter().map(String::as_str);
            let left = left.filter(|uid| !done.contains(uid) && !resting.contains(*uid));
            let next: Vec<&str> = left.take(refusals.objects_max()).collect();
            if next.is_empty() {
                break;
            }
            transactions += 1;
            if next.contains(&"o70") {
                refusals.refuse(&next, None, "why", now);
            } else {
                done.extend(next);
                refusals.done();
            }
        }
        assert_eq!(done.len(), 99);
        assert_eq!(refusals.reason("o70"), Some("why"));
        assert!(transactions < 40, "{transactions}");
    }

    #[test]
    fn who_is_refused_again_is_left_alone_for_longer() {
        let mut now = Instant::now();
        let mut refusals = Refusals::default();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            refusals.refuse(&["a", "b"], Some("a"), "why", now);
            let until = refusals.resting(now);
            assert_eq!(until, BTreeSet::from(["a".to_owned()]));
            let next = refusals.next().unwrap();
            pauses.push((next - now).as_secs());
            now = next;
            assert_eq!(refusals.resting(now), BTreeSet::new());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(refusals.objects_max(), usize::MAX);
    }
}
