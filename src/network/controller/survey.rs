//! Looks at the whole cloud whenever something changed, and calls whom it concerns.

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use futures::{FutureExt, Stream, StreamExt, stream, stream::BoxStream};
use tokio::{
    sync::watch,
    task,
    time::{self, Instant},
};
use tracing::{debug, error};

use crate::{
    api::{
        floating_ip::FloatingIP, load_balancer::LoadBalancer, network::Network, port::Port,
        router::Router, security_group::SecurityGroup, subnet::Subnet,
    },
    network::{
        allocator::Stands,
        observer::Observer,
        plan::{
            self,
            patience::Crowd,
            survey::{Findings, Survey},
            topology::{Origin, Topology, Uid},
        },
        realiser::StandingChange,
    },
};

use super::{Call, Context, Picture, kind::Kind};

/// Changes are gathered until none has come for so long: nobody notices.
const SETTLE: Duration = Duration::from_millis(20);

/// For how many times as long as a survey took the next one waits, and changes are gathered at most, so that a cloud that
/// changes without end leaves the processor to those who make the changes.
const REST: u32 = 8;

/// And for how long at most.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// How long nothing comes until a crowd is complete, which it learns by a survey.
const PAUSE: Duration = Duration::from_millis(100);

/// How long its changes are gathered at most: OVN has the same work for one port as for a thousand, so that those that are
/// made in one go are looked at in one go.
const LONGEST_CROWD: Duration = Duration::from_secs(2);

/// How long a new leader waits for the database's first word, before it says of everything that it is not known.
const FIRST_WORD: Duration = Duration::from_secs(5);

/// How often everything is looked at although nothing has changed, in case anything was missed, and because what was given
/// and never written is taken back.
const EVERY: Duration = Duration::from_secs(30);

/// Surveys until `stop` says true.
pub async fn keep(ctx: Arc<Context>, mut stop: watch::Receiver<bool>) {
    let mut changes = changes(&ctx);
    let mut standings = match &ctx.realiser {
        Some(realiser) => realiser.changes().boxed(),
        None => stream::pending().boxed(),
    };
    let mut due = Instant::now();
    let mut rested = due;
    let mut rest = SETTLE;
    // When the first change came that nobody has looked at.
    let mut since = None;
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            Some(()) = changes.next() => {
                let now = Instant::now();
                let (settle, longest) = match ctx.allocator.crowd() {
                    Crowd::Growing => (PAUSE, LONGEST_CROWD),
                    Crowd::None | Crowd::Complete => (SETTLE, rest),
                };
                let longest = *since.get_or_insert(now) + longest;
                due = rested.max(longest.min(now + settle));
            }
            Some(change) = standings.next() => {
                // Many objects share a transaction, and then a call: whoever misses calls has to look at everybody.
                let mut told = vec![change];
                while let Some(Some(more)) = standings.next().now_or_never() {
                    told.push(more);
                }
                call_for(&ctx, &told);
            }
            () = time::sleep_until(due) => {
                while let Some(Some(())) = changes.next().now_or_never() {}
                let began = Instant::now();
                once(&ctx).await;
                since = None;
                let now = Instant::now();
                rest = (began.elapsed() * REST).clamp(SETTLE, LONGEST_REST);
                rested = now + rest;
                due = match ctx.allocator.crowd() {
                    Crowd::Growing => rested.max(now + PAUSE),
                    Crowd::None | Crowd::Complete => now + EVERY,
                };
            }
        }
    }
}

/// Looks at everything once.
pub async fn once(ctx: &Arc<Context>) {
    let number = ctx.picture.borrow().survey + 1;
    let looking = Arc::clone(ctx);
    let done = task::spawn_blocking(move || look(&looking, number));
    let (topology, findings, mut called) = match done.await {
        Ok(looked) => looked,
        Err(error) => {
            error!(%error, "a survey of the networks ended, which is a fault of this program: please report it");
            return;
        }
    };
    if let Some(realiser) = &ctx.realiser {
        realiser.want(Arc::new(topology));
        if number == 1 {
            // Statuses that a leader before this one wrote are right as long as the database does not say otherwise.
            let _ = time::timeout(FIRST_WORD, realiser.settled()).await;
        }
    }
    let before = Arc::clone(&ctx.picture.borrow());
    called.extend(concerned(&before.findings, &findings));
    let survey = number;
    ctx.picture
        .send_replace(Arc::new(Picture { survey, findings }));
    if !called.is_empty() {
        call(ctx, Call::These(Arc::new(called)));
    }
}

/// Looks, and gives ports what they lack: to all of them at once, so that OVN learns of a thousand in one go, and their
/// reconcilers, of which only some are at work at a time, have nothing left to do but to say it. Whoever was given something
/// is looked at again with it, so that what is to be made is known before anybody is called.
fn look(ctx: &Context, number: u64) -> (Topology, Findings, Vec<Origin>) {
    let began = Instant::now();
    let seen = ctx.observer.as_ref().and_then(Observer::sightings);
    let mut cloud = ctx
        .caches
        .cloud(ctx.allocator.given(), ctx.tenant_mtu, seen);
    let mut survey = plan::survey::survey(&cloud);
    let before = ctx.allocator.crowd();
    let mut called = renew(ctx, &mut survey, number);
    if ctx.allocator.give(survey.findings.lacking()) {
        cloud.given = ctx.allocator.given();
        survey = plan::survey::survey(&cloud);
        called.extend(renew(ctx, &mut survey, number));
    }
    if before == Crowd::Growing && ctx.allocator.crowd() != Crowd::Growing {
        called.extend(ctx.allocator.unsaid());
    }
    let took = began.elapsed().as_secs_f64();
    ctx.metrics.survey.observe(took);
    debug!(
        number,
        ports = survey.findings.ports.len(),
        took_seconds = took,
        "looked at all networks"
    );
    let waiting = i64::try_from(ctx.allocator.waiting());
    ctx.metrics.waiting.set(waiting.unwrap_or(i64::MAX));
    let Survey {
        topology, findings, ..
    } = survey;
    (topology, findings, called)
}

/// The allocator learns who has what; who is to be called since there is room.
fn renew(ctx: &Context, survey: &mut Survey, number: u64) -> Vec<Origin> {
    let ledger = mem::take(&mut survey.ledger);
    let findings = &survey.findings;
    ctx.allocator
        .renew(ledger, number, |uid| stands(findings, uid))
}

/// How an owner of addresses stands.
fn stands(findings: &Findings, uid: &str) -> Stands {
    if let Some(port) = findings.ports.get(uid) {
        return if port.demand.is_empty() {
            Stands::There
        } else {
            Stands::Lacking
        };
    }
    let is_there = findings.routers.contains_key(uid)
        || findings.floating.contains_key(uid)
        || findings.balancers.contains_key(uid);
    if is_there {
        Stands::There
    } else {
        Stands::Gone
    }
}

fn call(ctx: &Context, call: Call) {
    // Nobody listening means that nobody waits.
    let _ = ctx.calls.send(call);
}

/// Whoever something new was found of.
fn concerned(before: &Findings, after: &Findings) -> Vec<Origin> {
    let mut origins = Vec::new();
    news::<Network>(before, after, &mut origins);
    news::<Subnet>(before, after, &mut origins);
    news::<Port>(before, after, &mut origins);
    news::<Router>(before, after, &mut origins);
    news::<SecurityGroup>(before, after, &mut origins);
    news::<FloatingIP>(before, after, &mut origins);
    news::<LoadBalancer>(before, after, &mut origins);
    origins
}

fn news<K: Kind>(before: &Findings, after: &Findings, origins: &mut Vec<Origin>) {
    let before = K::findings(before);
    let is_new = |(uid, finding): &(&Uid, &K::Finding)| before.get(*uid) != Some(*finding);
    let new = K::findings(after).iter().filter(is_new);
    origins.extend(new.map(|(_, finding)| K::seen(finding).origin.clone()));
}

/// Calls those whose standing in OVN may have changed.
fn call_for(ctx: &Context, changes: &[StandingChange]) {
    let picture = Arc::clone(&ctx.picture.borrow());
    let mut called = Vec::new();
    for change in changes {
        match change {
            StandingChange::All => return call(ctx, Call::All),
            StandingChange::One(uid) => concerned_by(&picture.findings, uid, &mut called),
        }
    }
    if !called.is_empty() {
        call(ctx, Call::These(Arc::new(called)));
    }
}

/// Whoever says how the object of a UID stands.
fn concerned_by(findings: &Findings, uid: &str, called: &mut Vec<Origin>) {
    found::<Network>(findings, uid, called);
    found::<Port>(findings, uid, called);
    found::<Router>(findings, uid, called);
    found::<SecurityGroup>(findings, uid, called);
    found::<FloatingIP>(findings, uid, called);
    found::<LoadBalancer>(findings, uid, called);
    if findings.balancers.contains_key(uid) {
        let led = findings
            .floating
            .values()
            .filter(|floating| floating.row == uid);
        called.extend(led.map(|floating| floating.seen.origin.clone()));
    }
}

fn found<K: Kind>(findings: &Findings, uid: &str, called: &mut Vec<Origin>) {
    let findings: &BTreeMap<Uid, K::Finding> = K::findings(findings);
    called.extend(
        findings
            .get(uid)
            .map(|finding| K::seen(finding).origin.clone()),
    );
}

/// A word for each change of anything that surveys look at.
fn changes(ctx: &Context) -> impl Stream<Item = ()> + Send + Unpin + 'static {
    let caches = &ctx.caches;
    let seen = match &ctx.observer {
        Some(observer) => observer.changes().boxed(),
        None => stream::pending().boxed(),
    };
    let all: [BoxStream<'static, ()>; 10] = [
        ctx.allocator.changes().boxed(),
        caches.networks.changes().map(drop).boxed(),
        caches.subnets.changes().map(drop).boxed(),
        caches.ports.changes().map(drop).boxed(),
        caches.routers.changes().map(drop).boxed(),
        caches.groups.changes().map(drop).boxed(),
        caches.floating.changes().map(drop).boxed(),
        caches.balancers.changes().map(drop).boxed(),
        stream::select(
            caches.servers.changes().map(drop),
            caches.hypervisors.changes().map(drop),
        )
        .boxed(),
        seen,
    ];
    stream::select_all(all)
}
