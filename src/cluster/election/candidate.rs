//! What a candidate knows of the Lease, and what follows from it. Pure: the time is told, and nothing is sent.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use tokio::time::Instant;

use super::{EVERY, LEASE, Lost, RENEWED_MAX};

/// What a candidate does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// Look again after this long.
    Wait(Duration),
    /// Make the Lease, which is not there, in our own name.
    Make,
    /// Take the Lease, which nobody holds.
    Take,
    /// Renew it.
    Renew,
    /// Stop to lead.
    Lose(Lost),
}

/// One that takes part in the election.
#[derive(Debug)]
pub(super) struct Candidate {
    identity: String,
    /// The Lease as it was last read or written; `None` if it is not there.
    lease: Option<Lease>,
    /// Whether it was there before and is not now.
    vanished: bool,
    /// When it was first seen to say what it says; `None` before it was seen at all.
    since: Option<Instant>,
    /// When the last renewal that succeeded was sent; `None` for one that stands by.
    renewed: Option<Instant>,
}

impl Candidate {
    pub(super) fn new(identity: &str) -> Self {
        Self {
            identity: identity.to_owned(),
            lease: None,
            vanished: false,
            since: None,
            renewed: None,
        }
    }

    /// Leads no longer, and starts to count anew.
    pub(super) fn stand_by(&mut self) {
        self.renewed = None;
        self.since = None;
        self.lease = None;
        self.vanished = false;
    }

    /// When this candidate must stop to lead unless it renews the Lease before; `None` if it stands by.
    pub(super) fn leads_until(&self) -> Option<Instant> {
        self.renewed.map(|renewed| renewed + RENEWED_MAX)
    }

    /// Takes note of what was read.
    pub(super) fn saw(&mut self, lease: Option<Lease>, now: Instant) {
        let spec = |lease: &Option<Lease>| lease.as_ref().and_then(|lease| lease.spec.clone());
        // What others write beside the spec, such as an annotation, is no sign of life.
        if self.since.is_none() || spec(&self.lease) != spec(&lease) {
            self.since = Some(now);
        }
        self.vanished = lease.is_none() && (self.vanished || self.lease.is_some());
        self.lease = lease;
    }

    /// Takes note of what was written in our own name by a request that was sent at `sent`.
    pub(super) fn wrote(&mut self, lease: Lease, sent: Instant) {
        self.lease = Some(lease);
        self.since = Some(sent);
        self.renewed = Some(sent);
    }

    /// What to do.
    pub(super) fn next(&self, now: Instant) -> Move {
        let Some(since) = self.since else {
            return Move::Wait(EVERY);
        };
        if self.leads_until().is_some_and(|end| now >= end) {
            return Move::Lose(Lost::NotRenewed);
        }
        let unchanged = now.saturating_duration_since(since);
        let patience = Move::Wait(EVERY.min(LEASE.saturating_sub(unchanged)));
        if self.lease.is_none() {
            // Whoever held a Lease that was deleted makes it again, and leads until then.
            let leaderless = !self.vanished || self.renewed.is_some() || unchanged >= LEASE;
            return if leaderless { Move::Make } else { patience };
        }
        match (self.holder(), self.renewed) {
            (Some(holder), Some(_)) if holder == self.identity => Move::Renew,
            (holder, Some(_)) => Move::Lose(Lost::Taken(holder.unwrap_or_default().to_owned())),
            (None, None) => Move::Take,
            // Also one in our own name: it may be that of another process that was given the same.
            (Some(_), None) if unchanged >= LEASE => Move::Take,
            (Some(_), None) => patience,
        }
    }

    /// What the Lease says when this candidate holds it.
    pub(super) fn held(&self, clock: Timestamp) -> LeaseSpec {
        let before = self.spec();
        let renewal = self.renewed.is_some() && self.holder() == Some(&self.identity);
        let transitions = before.lease_transitions.unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: before
                .acquire_time
                .filter(|_| renewal)
                .or(Some(MicroTime(clock))),
            renew_time: Some(MicroTime(clock)),
            lease_transitions: Some(transitions.saturating_add(i32::from(!renewal))),
            ..before
        }
    }

    /// What the Lease says when this candidate has let go of it; `None` if it is not its own.
    pub(super) fn released(&self) -> Option<LeaseSpec> {
        let ours = self.holder() == Some(&self.identity);
        ours.then(|| LeaseSpec {
            holder_identity: Some(String::new()),
            ..self.spec()
        })
    }

    /// The version that a write must insist on.
    pub(super) fn version(&self) -> Option<&str> {
        self.lease.as_ref()?.metadata.resource_version.as_deref()
    }

    fn spec(&self) -> LeaseSpec {
        let lease = self.lease.as_ref();
        lease
            .and_then(|lease| lease.spec.clone())
            .unwrap_or_default()
    }

    /// Who holds the Lease; nobody after it was let go.
    fn holder(&self) -> Option<&str> {
        let spec = self.lease.as_ref()?.spec.as_ref()?;
        let holder = spec.holder_identity.as_deref();
        holder.filter(|holder| !holder.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: &str = "me";

    /// In which second, and what.
    type Read = (u64, Option<Lease>);

    fn lease(holder: Option<&str>, renewals: i64) -> Lease {
        let spec = LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            renew_time: Some(MicroTime(Timestamp::from_second(renewals).unwrap())),
            lease_transitions: Some(3),
            ..LeaseSpec::default()
        };
        Lease {
            spec: Some(spec),
            ..Lease::default()
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn who_stands_by_takes_what_nobody_holds_and_waits_for_the_rest() {
        let other = || Some(lease(Some("other"), 1));
        // What was read at which second, and what follows from the last.
        let cases: Vec<(Vec<Read>, Move)> = vec![
            (vec![(0, None)], Move::Make),
            (vec![(0, Some(lease(None, 1)))], Move::Take),
            (vec![(0, Some(lease(Some(""), 1)))], Move::Take),
            (vec![(0, Some(Lease::default()))], Move::Take),
            (vec![(0, other())], Move::Wait(EVERY)),
            (vec![(0, other()), (9, other())], Move::Wait(seconds(1))),
            (vec![(0, other()), (10, other())], Move::Take),
            (
                vec![(0, other()), (9, Some(lease(Some("other"), 2)))],
                Move::Wait(EVERY),
            ),
            (
                vec![(0, other()), (9, Some(lease(Some("third"), 1)))],
                Move::Wait(EVERY),
            ),
            // Its own name may be another's, and a process that has just started holds nothing.
            (vec![(0, Some(lease(Some(ME), 1)))], Move::Wait(EVERY)),
            (vec![(0, other()), (9, None)], Move::Wait(EVERY)),
            (vec![(0, other()), (9, None), (19, None)], Move::Make),
        ];
        for (read, expected) in cases {
            let start = Instant::now();
            let mut candidate = Candidate::new(ME);
            let mut now = start;
            for (second, lease) in &read {
                now = start + seconds(*second);
                candidate.saw(lease.clone(), now);
            }
            assert_eq!(candidate.next(now), expected, "{read:?}");
        }
    }

    #[test]
    fn a_renew_time_of_any_clock_means_nothing() {
        for renewed in [0, 1, 4_000_000_000] {
            let mut candidate = Candidate::new(ME);
            let now = Instant::now();
            candidate.saw(Some(lease(Some("other"), renewed)), now);
            assert_eq!(candidate.next(now), Move::Wait(EVERY));
        }
    }

    #[test]
    fn who_leads_renews_until_it_cannot_or_another_does() {
        let mine = || lease(Some(ME), 1);
        let cases = [
            (1, Some(mine()), Move::Renew),
            (6, Some(mine()), Move::Renew),
            (1, None, Move::Make),
            (7, Some(mine()), Move::Lose(Lost::NotRenewed)),
            (7, None, Move::Lose(Lost::NotRenewed)),
            (
                1,
                Some(lease(Some("other"), 1)),
                Move::Lose(Lost::Taken("other".to_owned())),
            ),
            (
                1,
                Some(lease(Some(""), 1)),
                Move::Lose(Lost::Taken(String::new())),
            ),
        ];
        for (second, read, expected) in cases {
            let start = Instant::now();
            let mut candidate = Candidate::new(ME);
            candidate.wrote(mine(), start);
            let now = start + seconds(second);
            candidate.saw(read.clone(), now);
            assert_eq!(candidate.next(now), expected, "{second} s: {read:?}");
        }
    }

    #[test]
    fn a_renewal_keeps_the_times_of_taking_and_a_change_of_hands_is_counted() {
        let clock = Timestamp::from_second(9).unwrap();
        let mut candidate = Candidate::new(ME);
        candidate.saw(Some(lease(Some("other"), 1)), Instant::now());
        assert_eq!(candidate.released(), None);
        let taken = candidate.held(clock);
        assert_eq!(taken.holder_identity.as_deref(), Some(ME));
        assert_eq!(taken.lease_transitions, Some(4));
        assert_eq!(taken.acquire_time, Some(MicroTime(clock)));

        let written = Lease {
            spec: Some(taken.clone()),
            ..Lease::default()
        };
        candidate.wrote(written, Instant::now());
        let later = Timestamp::from_second(11).unwrap();
        let renewed = candidate.held(later);
        assert_eq!(renewed.renew_time, Some(MicroTime(later)));
        assert_eq!(
            LeaseSpec {
                renew_time: taken.renew_time.clone(),
                ..renewed
            },
            taken
        );
        let released = candidate.released().unwrap();
        assert_eq!(released.holder_identity.as_deref(), Some(""));
    }
}
