//! How each object stands, for whoever asks, and who is told when that changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, stream};
use tokio::sync::broadcast::{self, error::RecvError};

use super::{Standing, StandingChange};

/// How many changes a listener may be behind before it is told to look at everything.
const CHANGES_MAX: usize = 16_384;

/// The standing of all objects.
pub struct Ledger {
    state: Mutex<State>,
    changes: broadcast::Sender<StandingChange>,
}

struct State {
    objects: HashMap<String, Standing>,
    /// Why the database cannot be seen.
    away: Option<String>,
    /// Why the database takes nothing, though it can be seen.
    trouble: Option<String>,
    /// Whether there is a topology that nobody has looked at yet.
    is_behind: bool,
}

impl Default for Ledger {
    fn default() -> Self {
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        Self {
            state: Mutex::new(State {
                objects: HashMap::new(),
                away: Some("no server was asked yet".to_owned()),
                trouble: None,
                is_behind: true,
            }),
            changes,
        }
    }
}

impl Ledger {
    /// How an object stands.
    pub fn standing(&self, uid: &str) -> Standing {
        let state = self.state();
        if let Some(reason) = &state.away {
            return Standing::Unknown(reason.clone());
        }
        match state.objects.get(uid) {
            Some(standing) => standing.clone(),
            None if state.is_behind => Standing::Pending,
            None => Standing::Absent,
        }
    }

    /// Whether the newest topology was compared with the database.
    pub fn is_settled(&self) -> bool {
        let state = self.state();
        state.away.is_none() && !state.is_behind
    }

    /// Why the database cannot be used.
    pub fn trouble(&self) -> Option<String> {
        let state = self.state();
        state.away.as_ref().or(state.trouble.as_ref()).cloned()
    }

    /// Whose standing changes from now on.
    pub fn changes(&self) -> impl Stream<Item = StandingChange> + Send + use<> {
        let receiver = self.changes.subscribe();
        stream::unfold(receiver, |mut receiver| async {
            let change = match receiver.recv().await {
                Ok(change) => change,
                Err(RecvError::Lagged(_)) => StandingChange::All,
                Err(RecvError::Closed) => return None,
            };
            Some((change, receiver))
        })
    }

    /// There is a topology that nobody has looked at yet.
    pub fn behind(&self) {
        self.state().is_behind = true;
    }

    /// The database cannot be seen any more.
    pub fn away(&self, reason: &str) {
        let mut state = self.state();
        let was_there = state.away.replace(reason.to_owned()).is_none();
        drop(state);
        if was_there {
            self.tell(StandingChange::All);
        }
    }

    /// The database takes nothing, or does again.
    pub fn troubled(&self, trouble: Option<String>) {
        self.state().trouble = trouble;
    }

    /// How everybody stands now.
    pub fn write(&self, objects: HashMap<String, Standing>, is_newest: bool) {
        let mut state = self.state();
        let was_away = state.away.take().is_some();
        let settles = is_newest && state.is_behind;
        state.is_behind &= !is_newest;
        let before = std::mem::replace(&mut state.objects, objects);
        let changed = if was_away || settles && before.is_empty() {
            None
        } else {
            Some(changed(&before, &state.objects))
        };
        drop(state);
        match changed {
            None => self.tell(StandingChange::All),
            Some(uids) => {
                for uid in uids {
                    self.tell(StandingChange::One(uid));
                }
            }
        }
    }

    /// Objects are not as they are wanted after all.
    pub fn pending(&self, uids: &BTreeSet<Arc<str>>) {
        let mut state = self.state();
        let mut changed = Vec::new();
        for uid in uids {
            if let Some(standing @ (Standing::Written | Standing::Up)) =
                state.objects.get_mut(&**uid)
            {
                *standing = Standing::Pending;
                changed.push((**uid).to_owned());
            }
        }
        drop(state);
        for uid in changed {
            self.tell(StandingChange::One(uid));
        }
    }

    /// A port has its flows, or has them no more.
    pub fn up(&self, uid: String, is_up: bool) {
        let mut state = self.state();
        let Some(standing @ (Standing::Written | Standing::Up)) = state.objects.get_mut(&uid)
        else {
            return;
        };
        let now = if is_up {
            Standing::Up
        } else {
            Standing::Written
        };
        let was = std::mem::replace(standing, now.clone());
        drop(state);
        if was != now {
            self.tell(StandingChange::One(uid));
        }
    }

    /// How an object stood last.
    pub fn last(&self, uid: &str) -> Option<Standing> {
        self.state().objects.get(uid).cloned()
    }

    fn tell(&self, change: StandingChange) {
        // Nobody may be listening.
        let _ = self.changes.send(change);
    }

    // Whatever panicked left words of an earlier moment: the next round writes them anew.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn changed(before: &HashMap<String, Standing>, after: &HashMap<String, Standing>) -> Vec<String> {
    let come = after
        .iter()
        .filter(|(uid, now)| before.get(*uid) != Some(now));
    let gone = before.keys().filter(|uid| !after.contains_key(*uid));
    come.map(|(uid, _)| uid).chain(gone).cloned().collect()
}
