//! When everything is looked at again: soon after a change, later when many come, so that a cloud that changes without end
//! leaves the processor to those who make the changes.
//!
//! ```text
//!   change ── settle ──► look ── rest ──► look
//! ```
//!
//! It never puts a change off for ever: whatever comes is looked at within seconds. Moments are told by how long whoever
//! looks has been at work.

use std::time::Duration;

use kube::Resource;

use super::{Seen, patience::Crowd};

/// Changes are gathered until none has come for so long: nobody notices.
const SETTLE: Duration = Duration::from_millis(20);

/// For how many times as long as a look took the next one waits, and changes are gathered at most.
const REST: u32 = 8;

/// And for how long at most.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// How long nothing comes until a crowd is complete, which it learns by a look.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a crowd's changes are gathered at most: OVN has the same work for one port as for a thousand, so that those that
/// are made in one go are looked at in one go.
const LONGEST_CROWD: Duration = Duration::from_secs(2);

/// How long a change waits that tells nothing that the last look did not find.
const OLD_NEWS: Duration = Duration::from_secs(5);

/// How often everything is looked at although nothing has changed, in case anything was missed, and because what was given
/// and never written is taken back.
const EVERY: Duration = Duration::from_secs(30);

/// How urgent a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody may wait for what comes of it.
    News,
    /// An object says what was found of it already.
    OldNews,
}

impl Urgency {
    /// Of a change of an object, which is none when it is gone, that the last look found so. One that is as it was found has
    /// changed in its status or labels only.
    ///
    /// That is old news of kinds whose status tells a look nothing that it did not find itself: ports say what it gave them.
    pub fn of<K: Resource>(found: Option<&Seen>, object: Option<&K>) -> Self {
        let same = found.zip(object).filter(|(found, now)| found.is_of(*now));
        same.map_or(Self::News, |_| Self::OldNews)
    }
}

/// When the next look is due.
#[derive(Clone, Debug)]
pub struct Pace {
    due: Duration,
    /// Before this there is none.
    rested: Duration,
    /// How long changes are gathered at most.
    rest: Duration,
    /// When the first news came that nobody has looked at.
    since: Option<Duration>,
}

/// Of someone who begins to work: he looks at once.
impl Default for Pace {
    fn default() -> Self {
        Self {
            due: Duration::ZERO,
            rested: Duration::ZERO,
            rest: SETTLE,
            since: None,
        }
    }
}

impl Pace {
    /// When the next look is due.
    pub fn due(&self) -> Duration {
        self.due
    }

    /// Something changed.
    pub fn changed(&mut self, now: Duration, urgency: Urgency, crowd: Crowd) {
        if urgency == Urgency::OldNews {
            self.due = self.due.min(self.rested.max(now + OLD_NEWS));
            return;
        }
        let (settle, longest) = match crowd {
            Crowd::Growing => (PAUSE, LONGEST_CROWD),
            Crowd::None | Crowd::Complete => (SETTLE, self.rest),
        };
        let longest = *self.since.get_or_insert(now) + longest;
        self.due = self.rested.max(longest.min(now + settle));
    }

    /// Everything was looked at, and this is how the crowd stands by now.
    pub fn looked(&mut self, took: Duration, now: Duration, crowd: Crowd) {
        self.since = None;
        self.rest = (took * REST).clamp(SETTLE, LONGEST_REST);
        self.rested = now + self.rest;
        self.due = match crowd {
            Crowd::Growing => self.rested.max(now + PAUSE),
            Crowd::None | Crowd::Complete => now + EVERY,
        };
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::api::port::{Port, PortStatus};

    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// What happens at some millisecond of a story.
    enum Event {
        Changed(Urgency, Crowd),
        Looked { took: Duration, crowd: Crowd },
    }
    use Event::{Changed, Looked};

    /// When the look after the story is due, in milliseconds since it began.
    fn due(story: &[(u64, Event)]) -> u128 {
        let mut pace = Pace::default();
        for (at, event) in story {
            let now = ms(*at);
            match event {
                Changed(urgency, crowd) => pace.changed(now, *urgency, *crowd),
                Looked { took, crowd } => pace.looked(*took, now, *crowd),
            }
        }
        pace.due().as_millis()
    }

    /// What is shown, what happened at which milliseconds, and when the next look is due then.
    type Case<'a> = (&'a str, &'a [(u64, Event)], u128);

    fn check(cases: &[Case<'_>]) {
        for (case, story, expected) in cases {
            assert_eq!(due(story), *expected, "{case}");
        }
    }

    const NEWS: Event = Changed(Urgency::News, Crowd::None);
    const OLD: Event = Changed(Urgency::OldNews, Crowd::Complete);
    const MORE: Event = Changed(Urgency::News, Crowd::Growing);
    const QUICK: Event = Looked {
        took: ms(1),
        crowd: Crowd::None,
    };
    const SLOW: Event = Looked {
        took: ms(100),
        crowd: Crowd::None,
    };
    const CROWDED: Event = Looked {
        took: ms(100),
        crowd: Crowd::Growing,
    };

    #[test]
    fn an_object_that_is_as_it_was_found_tells_old_news() {
        let port = |generation: i64, leaving: bool| {
            let leaves = leaving.then_some("2026-01-01T00:00:00Z");
            let port = json!({
                "metadata": {"name": "web", "generation": generation, "deletionTimestamp": leaves},
                "spec": {"network": "net"},
            });
            serde_json::from_value::<Port>(port).unwrap()
        };
        let found = Seen::of("Port", &port(1, false));
        let mut told = port(1, false);
        told.status = Some(PortStatus::default());
        let cases = [
            ("never seen", None, Some(told.clone()), Urgency::News),
            ("gone", Some(&found), None, Urgency::News),
            ("changed", Some(&found), Some(port(2, false)), Urgency::News),
            ("leaving", Some(&found), Some(port(1, true)), Urgency::News),
            ("told", Some(&found), Some(told), Urgency::OldNews),
        ];
        for (case, found, object, urgency) in cases {
            assert_eq!(Urgency::of(found, object.as_ref()), urgency, "{case}");
        }
    }

    #[test]
    fn changes_are_looked_at_when_they_pause_and_at_the_latest_after_a_rest() {
        check(&[
            ("at first, at once", &[], 0),
            ("nothing changes", &[(0, QUICK)], 30_000),
            ("one change", &[(0, QUICK), (1000, NEWS)], 1020),
            ("another", &[(0, QUICK), (1000, NEWS), (1010, NEWS)], 1020),
            ("rest", &[(0, SLOW), (10, NEWS)], 800),
            ("they pause", &[(0, SLOW), (1000, NEWS)], 1020),
            (
                "no longer than it rests",
                &[(0, SLOW), (1000, NEWS), (1799, NEWS)],
                1800,
            ),
        ]);
    }

    #[test]
    fn a_crowd_is_gathered_until_nothing_comes() {
        check(&[
            ("nothing more comes", &[(0, CROWDED)], 800),
            ("it goes on", &[(0, CROWDED), (900, MORE)], 1000),
            (
                "no longer than this",
                &[(0, CROWDED), (900, MORE), (2850, MORE)],
                2900,
            ),
        ]);
    }

    #[test]
    fn old_news_can_wait_and_put_nothing_off() {
        check(&[
            ("by itself", &[(0, SLOW), (1000, OLD)], 6000),
            (
                "more of it",
                &[(0, SLOW), (1000, OLD), (3000, OLD), (5999, OLD)],
                6000,
            ),
            ("after news", &[(0, SLOW), (1000, NEWS), (1001, OLD)], 1020),
            ("before news", &[(0, SLOW), (1000, OLD), (2000, NEWS)], 2020),
            (
                "what would come sooner by itself",
                &[(0, SLOW), (29_000, OLD)],
                30_000,
            ),
        ]);
    }
}
