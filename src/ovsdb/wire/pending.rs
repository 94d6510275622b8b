//! Requests under way: which there are, whether each was sent, and whom to give its answer.
//!
//! A request that nobody waits for any more is forgotten at once; if it was not sent yet, it never is.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ended::{Ended, Outcome};
use super::message::Answer;

/// What a request comes to.
pub type End = Result<Answer, (Ended, Outcome)>;

/// Called once, by whoever learns how the request ends. Must not wait.
type OnEnd = Box<dyn FnOnce(End) + Send>;

/// All requests of one connection that are under way.
#[derive(Default)]
pub struct Pending(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    waiting: HashMap<u64, Waiting>,
    ended: Option<Ended>,
}

struct Waiting {
    is_sent: bool,
    on_end: OnEnd,
}

/// One request under way, which is forgotten when this is dropped.
pub struct Ticket<'a> {
    pending: &'a Pending,
    pub id: u64,
}

impl Pending {
    /// A number for a request whose answer nobody waits for.
    pub fn number(&self) -> u64 {
        let mut state = self.state();
        state.next += 1;
        state.next - 1
    }

    /// Begins a request, unless the connection has ended.
    pub fn begin(&self, on_end: impl FnOnce(End) + Send + 'static) -> Result<Ticket<'_>, Ended> {
        let id = self.number();
        let mut state = self.state();
        if let Some(ended) = &state.ended {
            return Err(ended.clone());
        }
        let waiting = Waiting {
            is_sent: false,
            on_end: Box::new(on_end),
        };
        state.waiting.insert(id, waiting);
        Ok(Ticket { pending: self, id })
    }

    /// To be asked right before it is sent: whether anybody still wants it. From now on its outcome is unknown.
    pub fn may_send(&self, id: u64) -> bool {
        let mut state = self.state();
        let waiting = state.waiting.get_mut(&id);
        waiting.map(|waiting| waiting.is_sent = true).is_some()
    }

    /// Hands an answer to whoever waits for it. Fails if the request was never made.
    pub fn answer(&self, id: u64, answer: Answer) -> Result<(), Ended> {
        let mut state = self.state();
        let waiting = state.waiting.remove(&id);
        let was_made = id < state.next;
        drop(state);
        match waiting {
            Some(waiting) => (waiting.on_end)(Ok(answer)),
            None if was_made => {}
            None => return Err(Ended::NeverAsked(id)),
        }
        Ok(())
    }

    /// Tells all who wait that there will be no answers, now and from now on.
    pub fn end(&self, reason: &Ended) {
        let mut state = self.state();
        state.ended = Some(reason.clone());
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for waiting in waiting.into_values() {
            let outcome = outcome(waiting.is_sent);
            (waiting.on_end)(Err((reason.clone(), outcome)));
        }
    }

    /// How many are under way.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.state().waiting.len()
    }

    // Nobody panics while holding it, and if somebody did, each change of the state is complete in itself.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket<'_> {
    /// Gives the request up: whether it may have been carried out.
    pub fn give_up(self) -> Outcome {
        let waiting = self.pending.state().waiting.remove(&self.id);
        // One that is gone was answered, or its connection ended, in this very moment.
        outcome(waiting.is_none_or(|waiting| waiting.is_sent))
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.pending.state().waiting.remove(&self.id);
    }
}

fn outcome(is_sent: bool) -> Outcome {
    if is_sent {
        Outcome::Unknown
    } else {
        Outcome::NotDone
    }
}
