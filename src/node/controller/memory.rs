//! What the agent remembers of guests between runs, and may forget: how often they failed in a row, when they last
//! ended, which action this process began.
//!
//! Nothing here may be needed for a correct decision after a restart of the agent.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::node::{
    driver::{DomainEvent, PortId},
    plan::{
        action::{Outcome, Recent},
        decide,
    },
};

/// How long a guest is left alone after a step failed: so long at first, twice as long after each further failure.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// How long a guest is left alone at most.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// What is remembered of every guest, by UID.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<String, Remembered>>);

#[derive(Default)]
struct Remembered {
    recent: Recent,
    started_at: Option<Timestamp>,
    trouble: Option<Trouble>,
}

/// A step failed; until the guest's owner asks for something else, it is tried again less and less often.
struct Trouble {
    generation: Option<i64>,
    failures: u32,
    last: Instant,
}

impl Memory {
    /// What is remembered of this guest.
    pub fn of(&self, uid: &str) -> Recent {
        self.locked()
            .get(uid)
            .map(|remembered| remembered.recent.clone())
            .unwrap_or_default()
    }

    /// Takes note of something that happened to a guest.
    pub fn note(&self, uid: &str, what: DomainEvent, now: Timestamp) {
        let mut memory = self.locked();
        let Remembered {
            recent,
            started_at,
            trouble: _,
        } = memory.entry(uid.to_owned()).or_default();
        match what {
            DomainEvent::Started => {
                *started_at = Some(now);
                recent.asked_at = None;
                recent.unplugged_at.clear();
            }
            DomainEvent::Stopped(_) => {
                let ran = started_at.take().map(|since| now.duration_since(since));
                let ran = ran.and_then(|ran| Duration::try_from(ran).ok());
                // A start that failed makes no event at all: a failed step has its own pause.
                let quick = ran.is_some_and(decide::is_quick);
                recent.failures = if quick { recent.failures + 1 } else { 0 };
                recent.ended_at = Some(now);
            }
            DomainEvent::Rebooted
            | DomainEvent::Defined
            | DomainEvent::Undefined
            | DomainEvent::Paused(_)
            | DomainEvent::Resumed
            | DomainEvent::ShuttingDown
            | DomainEvent::Panicked
            | DomainEvent::IoError
            | DomainEvent::Unplugged => {}
        }
    }

    /// Takes note that the guest's power button was pressed.
    pub fn asked(&self, uid: &str, now: Timestamp) {
        self.locked()
            .entry(uid.to_owned())
            .or_default()
            .recent
            .asked_at = Some(now);
    }

    /// Takes note that the guest was let go on after its storage had failed.
    pub fn revived(&self, uid: &str, now: Timestamp) {
        self.locked()
            .entry(uid.to_owned())
            .or_default()
            .recent
            .revived_at = Some(now);
    }

    /// Takes note that the guest was asked to let go of a NIC.
    pub fn unplugged(&self, uid: &str, port: PortId, now: Timestamp) {
        self.locked()
            .entry(uid.to_owned())
            .or_default()
            .recent
            .unplugged_at
            .insert(port, now);
    }

    /// Takes note that the guest is not meant to run: that it ends is no failure.
    pub fn at_rest(&self, uid: &str) {
        if let Some(remembered) = self.locked().get_mut(uid) {
            remembered.recent.failures = 0;
        }
    }

    /// Takes note of whether a step failed on the guest as it was asked for.
    pub fn tried(&self, uid: &str, generation: Option<i64>, failed: bool) {
        let mut memory = self.locked();
        let trouble = &mut memory.entry(uid.to_owned()).or_default().trouble;
        let before = trouble
            .as_ref()
            .filter(|trouble| trouble.generation == generation);
        let failures = before.map_or(0, |trouble| trouble.failures) + 1;
        *trouble = failed.then(|| Trouble {
            generation,
            failures,
            last: Instant::now(),
        });
    }

    /// How long the guest is left alone after failures: whatever triggers a run, and what failed writes a status that
    /// does, must not make a loop.
    pub fn pause(&self, uid: &str, generation: Option<i64>) -> Option<Duration> {
        let memory = self.locked();
        let trouble = memory.get(uid)?.trouble.as_ref()?;
        let pause = PAUSE_MIN
            .saturating_mul(1 << (trouble.failures - 1).min(16))
            .min(PAUSE_MAX);
        let left = pause.saturating_sub(trouble.last.elapsed());
        (trouble.generation == generation && !left.is_zero()).then_some(left)
    }

    /// Takes note that this process begins an action.
    pub fn begin(&self, uid: &str, action: &str) {
        self.locked()
            .entry(uid.to_owned())
            .or_default()
            .recent
            .acting = Some(action.to_owned());
    }

    /// Takes note of how an action ended: should that not come on record, it is not done again.
    pub fn concluded(&self, uid: &str, outcome: Outcome) {
        self.locked()
            .entry(uid.to_owned())
            .or_default()
            .recent
            .outcome = Some(outcome);
    }

    /// Forgets everybody else: guests that were removed by force say no farewell.
    pub fn keep(&self, known: &BTreeSet<String>) {
        self.locked().retain(|uid, _| known.contains(uid));
    }

    /// Forgets a guest that is gone.
    pub fn forget(&self, uid: &str) {
        self.locked().remove(uid);
    }

    /// A panic while the map was held cannot have left it half changed.
    fn locked(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
