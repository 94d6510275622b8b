//! What the agent remembers of guests between runs, and may forget: how often they failed in a row, when they last
//! ended or rebooted, which action this process began.
//!
//! Nothing here may be needed for a correct decision after a restart of the agent.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use crate::node::{
    driver::DomainEvent,
    plan::{action::Recent, decide},
};

/// What is remembered of every guest, by UID.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<String, Remembered>>);

#[derive(Default)]
struct Remembered {
    recent: Recent,
    started_at: Option<Timestamp>,
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
        let Remembered { recent, started_at } = memory.entry(uid.to_owned()).or_default();
        match what {
            DomainEvent::Started => *started_at = Some(now),
            DomainEvent::Rebooted => recent.rebooted_at = Some(now),
            DomainEvent::Stopped(_) => {
                let ran = started_at.take().map(|since| now.duration_since(since));
                let ran = ran.and_then(|ran| Duration::try_from(ran).ok());
                recent.failures = match ran {
                    Some(ran) if decide::is_quick(ran) => recent.failures + 1,
                    Some(_) | None => 0,
                };
                recent.ended_at = Some(now);
            }
            DomainEvent::Defined
            | DomainEvent::Undefined
            | DomainEvent::Paused(_)
            | DomainEvent::Resumed
            | DomainEvent::ShuttingDown
            | DomainEvent::Panicked
            | DomainEvent::IoError => {}
        }
    }

    /// Takes note that this process begins an action.
    pub fn begin(&self, uid: &str, action: &str) {
        self.locked()
            .entry(uid.to_owned())
            .or_default()
            .recent
            .acting = Some(action.to_owned());
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
