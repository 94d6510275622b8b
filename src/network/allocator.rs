//! The ledger as controllers use it: behind a lock, with what was given away and is in nobody's status yet, and word to those
//! who wait when something is released.
//!
//! It must never be asked before it has been told of everything that is taken ([`Allocator::renew`]).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{Stream, stream};
use tokio::{sync::watch, time::Instant};

use super::plan::{
    Seen,
    ledger::{Demand, Given, Ledger, Owner},
    patience::Crowd,
    problem::Problem,
    topology::{Origin, Uid},
};

/// Gives out addresses.
#[derive(Default)]
pub struct Allocator {
    state: Mutex<State>,
    /// How often something was taken between surveys.
    takes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    ledger: Ledger,
    /// Which survey the ledger is of.
    survey: u64,
    /// What was given away and may not be in anybody's status yet, by its owner's UID.
    assumed: HashMap<Uid, Vec<Assumed>>,
    /// Whether the last survey found somebody who lacked something.
    grows: bool,
    /// Those who got nothing.
    waiting: HashMap<Uid, Origin>,
}

struct Assumed {
    owner: Arc<Owner>,
    origin: Origin,
    demand: Demand,
    given: Given,
    since: Instant,
}

/// How somebody stands who was given something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// He is there no more.
    Gone,
    /// He has not said it.
    Lacking,
    /// He may have said it.
    There,
}

/// By then a claim is in the object's status, or was given up: a request to the API server ends sooner.
const ASSUMED_MAX: Duration = Duration::from_mins(1);

/// What came of a demand.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// This.
    Given(Given),
    /// Nothing, and whoever asked is called when something was released.
    Refused(Problem),
    /// Nothing: more is known by now than when the demand was made.
    Stale,
}

impl Allocator {
    /// Learns everything that is taken anew, as survey `survey` found it; who is to be called since there is room. The survey
    /// knew what ports were given ([`Self::given`]), so it says of each owner how he stands.
    pub fn renew(
        &self,
        ledger: Ledger,
        survey: u64,
        stands: impl Fn(&str) -> Stands,
    ) -> Vec<Origin> {
        let mut state = self.locked();
        let mut ledger = ledger;
        ledger.go_on_after(&state.ledger);
        state.assumed.retain(|uid, all| {
            let stands = stands(uid);
            all.retain(|assumed| {
                let is_done = match stands {
                    Stands::Gone => true,
                    Stands::Lacking => false,
                    Stands::There => is_written(&ledger, assumed),
                };
                assumed.since.elapsed() < ASSUMED_MAX && !is_done
            });
            !all.is_empty()
        });
        for assumed in state.assumed.values().flatten() {
            enter(&mut ledger, assumed);
        }
        state.waiting.retain(|uid, _| stands(uid) != Stands::Gone);
        let room = !state.waiting.is_empty() && ledger.has_room_beside(&state.ledger);
        state.ledger = ledger;
        state.survey = survey;
        if !room {
            return Vec::new();
        }
        state.waiting.drain().map(|(_, origin)| origin).collect()
    }

    /// Gives what is wanted, or says why not. Asked again for what was given already, it gives the same.
    pub fn take(&self, survey: u64, owner: &Arc<Owner>, origin: &Origin, demand: &Demand) -> Taken {
        let mut state = self.locked();
        if let Some(given) = state.assumed(&owner.uid, demand) {
            return Taken::Given(given);
        }
        if state.survey != survey {
            return Taken::Stale;
        }
        match state.give(owner, origin, demand) {
            Ok(given) => {
                self.takes.send_modify(|count| *count += 1);
                Taken::Given(given)
            }
            Err(problem) => Taken::Refused(problem),
        }
    }

    /// Gives everybody what he lacks, as the survey that the ledger was renewed by found it; whether that was anything. It
    /// says no word of it: whoever surveys knows. Whoever got nothing before is passed over; he is called when there is room.
    pub fn give<'a>(&self, lacking: impl IntoIterator<Item = (&'a Seen, &'a Demand)>) -> bool {
        let mut state = self.locked();
        let mut gave = false;
        for (seen, demand) in lacking {
            let uid = &seen.origin.uid;
            if !state.waiting.contains_key(uid) && state.assumed(uid, demand).is_none() {
                // Whoever is refused asks again, and is told why.
                gave |= state.give(&seen.owner(), &seen.origin, demand).is_ok();
            }
        }
        state.grows = gave;
        gave
    }

    /// Takes back what was given to somebody and is not in his status.
    pub fn forget(&self, uid: &str) {
        let mut state = self.locked();
        let State {
            ledger,
            assumed,
            waiting,
            ..
        } = &mut *state;
        waiting.remove(uid);
        for assumed in assumed.remove(uid).iter().flatten() {
            ledger.release(&assumed.given);
        }
    }

    /// What ports were given that may not be in their statuses yet, by their UIDs: it is theirs, and they can be made with it.
    pub fn given(&self) -> BTreeMap<Uid, Given> {
        let state = self.locked();
        let newest = |(uid, all): (&Uid, &Vec<Assumed>)| {
            let newest = all.last().filter(|assumed| assumed.origin.kind == "Port")?;
            Some((uid.clone(), newest.given.clone()))
        };
        state.assumed.iter().filter_map(newest).collect()
    }

    /// A word each time that something was taken away between surveys.
    pub fn changes(&self) -> impl Stream<Item = ()> + Send + use<> {
        let takes = self.takes.subscribe();
        stream::unfold(takes, |mut takes| async {
            takes.changed().await.ok()?;
            Some(((), takes))
        })
    }

    /// How many were given something of late that they have not said.
    pub fn crowd(&self) -> Crowd {
        let state = self.locked();
        Crowd::of(state.assumed.len(), state.grows)
    }

    /// Those who were given something and may not have said so.
    pub fn unsaid(&self) -> Vec<Origin> {
        let state = self.locked();
        let all = state.assumed.values().flatten();
        all.map(|assumed| assumed.origin.clone()).collect()
    }

    /// Whether something of these subnets was given away that is in nobody's status yet, or a MAC address of this network.
    pub fn is_giving(&self, network: &str, subnet: Option<&str>) -> bool {
        let state = self.locked();
        state.assumed.values().flatten().any(|assumed| {
            let mac = assumed.given.mac.as_ref();
            mac.is_some_and(|(of, _)| of == network)
                || assumed
                    .given
                    .grants
                    .iter()
                    .any(|grant| Some(&*grant.subnet) == subnet)
        })
    }

    /// How many wait for an address.
    pub fn waiting(&self) -> usize {
        self.locked().waiting.len()
    }

    /// A panic while it was held would be a bug; the next survey makes it anew.
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What somebody was given for this demand.
    fn assumed(&self, uid: &str, demand: &Demand) -> Option<Given> {
        let mut all = self.assumed.get(uid).into_iter().flatten();
        let same = all.find(|assumed| assumed.demand == *demand);
        same.map(|assumed| assumed.given.clone())
    }

    fn give(
        &mut self,
        owner: &Arc<Owner>,
        origin: &Origin,
        demand: &Demand,
    ) -> Result<Given, Problem> {
        let given = self.ledger.take(owner, demand).inspect_err(|_| {
            self.waiting.insert(owner.uid.clone(), origin.clone());
        })?;
        let assumed = Assumed {
            owner: Arc::clone(owner),
            origin: origin.clone(),
            demand: demand.clone(),
            given: given.clone(),
            since: Instant::now(),
        };
        let all = self.assumed.entry(owner.uid.clone()).or_default();
        all.push(assumed);
        Ok(given)
    }
}

fn is_written(ledger: &Ledger, assumed: &Assumed) -> bool {
    let Assumed { owner, given, .. } = assumed;
    let mut grants = given.grants.iter();
    let mac = given.mac.as_ref();
    grants.all(|grant| ledger.has(&grant.subnet, grant.ip, &owner.uid))
        && mac.is_none_or(|(network, mac)| ledger.has_mac(network, *mac, &owner.uid))
}

fn enter(ledger: &mut Ledger, assumed: &Assumed) {
    // Whatever somebody's status has by now is his.
    for grant in &assumed.given.grants {
        let _ = ledger.claim(&grant.subnet, grant.ip, &assumed.owner);
    }
    if let Some((network, mac)) = &assumed.given.mac {
        let _ = ledger.claim_mac(network, *mac, &assumed.owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_got_nothing_waits_until_there_is_room_or_he_is_gone() {
        let mac = "02:00:00:00:00:01".parse().unwrap();
        let demand = Demand {
            mac: Some(("net".to_owned(), Some(mac))),
            ..Demand::default()
        };
        let seen = |name: &str| Seen {
            origin: Origin {
                kind: "Port",
                namespace: "shop".to_owned(),
                name: name.to_owned(),
                uid: name.to_owned(),
            },
            generation: None,
            leaving: false,
            problems: Vec::new(),
            users: Vec::new(),
            made: false,
        };
        let [first, late] = ["first", "late"].map(seen);
        let allocator = Allocator::default();
        allocator.renew(Ledger::default(), 1, |_| Stands::Lacking);
        assert!(allocator.give([(&first, &demand), (&late, &demand)]));
        assert_eq!(allocator.waiting(), 1);
        assert!(!allocator.give([(&first, &demand), (&late, &demand)]));
        let ledger = || {
            let mut ledger = Ledger::default();
            ledger.claim_mac("net", mac, &first.owner()).unwrap();
            ledger
        };
        let called = allocator.renew(ledger(), 2, |_| Stands::There);
        assert_eq!((called, allocator.waiting()), (Vec::new(), 1));
        let room = allocator.renew(Ledger::default(), 3, |_| Stands::There);
        assert_eq!((room, allocator.waiting()), (vec![late.origin.clone()], 0));

        assert!(allocator.give([(&first, &demand), (&late, &demand)]));
        let gone = |uid: &str| {
            if uid == "late" {
                Stands::Gone
            } else {
                Stands::There
            }
        };
        let called = allocator.renew(ledger(), 4, gone);
        assert_eq!((called, allocator.waiting()), (Vec::new(), 0));
    }

    #[test]
    fn what_was_given_is_given_until_its_owner_says_it_or_is_gone() {
        let origin = Origin {
            kind: "Port",
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            uid: "web".to_owned(),
        };
        let owner = Arc::new(Owner {
            uid: "web".to_owned(),
            home: "shop".to_owned(),
            called: "port shop/web".to_owned(),
        });
        let demand = Demand {
            mac: Some(("net".to_owned(), None)),
            ..Demand::default()
        };
        let allocator = Allocator::default();
        allocator.renew(Ledger::default(), 1, |_| Stands::Gone);
        let Taken::Given(given) = allocator.take(1, &owner, &origin, &demand) else {
            panic!("there is room");
        };
        // The next survey knows of it, and so has it in its ledger; the port has not said it.
        let mut ledger = Ledger::default();
        let (network, mac) = given.mac.clone().unwrap();
        ledger.claim_mac(&network, mac, &owner).unwrap();
        allocator.renew(ledger.clone(), 2, |_| Stands::Lacking);
        assert_eq!(allocator.given()["web"], given);
        assert!(allocator.is_giving("net", None));
        allocator.renew(ledger, 3, |_| Stands::There);
        assert!(allocator.given().is_empty());

        allocator.take(3, &owner, &origin, &demand);
        assert!(allocator.is_giving("net", None));
        allocator.renew(Ledger::default(), 4, |_| Stands::Gone);
        assert!(!allocator.is_giving("net", None));
    }
}
