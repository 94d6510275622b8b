//! Looks at the whole cloud whenever something changed, and calls whom it concerns.

use std::{
    collections::BTreeMap,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, Stream, StreamExt, stream, stream::BoxStream};
use kube::ResourceExt;
use tokio::{sync::watch, task, time};
use tracing::{debug, error};

use crate::{
    api::{
        floating_ip::FloatingIP, load_balancer::LoadBalancer, network::Network, port::Port,
        router::Router, security_group::SecurityGroup, subnet::Subnet,
    },
    cluster::cache::Change,
    network::{
        allocator::Stands,
        observer::Observer,
        plan::{
            self,
            pace::{Pace, Urgency},
            survey::{Findings, Survey},
            topology::{Origin, Topology, Uid},
        },
        realiser::StandingChange,
    },
};

use super::{Call, Context, Picture, kind::Kind};

/// How long a new leader waits for the database's first word, before it says of everything that it is not known.
const FIRST_WORD: Duration = Duration::from_secs(5);

/// Surveys until `stop` says true.
pub async fn keep(ctx: Arc<Context>, mut stop: watch::Receiver<bool>) {
    let mut changes = changes(&ctx);
    let mut standings = match &ctx.realiser {
        Some(realiser) => realiser.changes().boxed(),
        None => stream::pending().boxed(),
    };
    let (began, mut pace) = (Instant::now(), Pace::default());
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            Some(urgency) = changes.next() => {
                pace.changed(began.elapsed(), urgency, ctx.allocator.crowd());
            }
            Some(change) = standings.next() => {
                // Many objects share a transaction, and then a call: whoever misses calls has to look at everybody.
                let mut told = vec![change];
                while let Some(Some(more)) = standings.next().now_or_never() {
                    told.push(more);
                }
                call_for(&ctx, &told);
            }
            () = time::sleep_until((began + pace.due()).into()) => {
                // Whatever has come by now is looked at.
                while let Some(Some(_)) = changes.next().now_or_never() {}
                let from = began.elapsed();
                once(&ctx).await;
                let now = began.elapsed();
                pace.looked(now.saturating_sub(from), now, ctx.allocator.crowd());
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
    if ctx.allocator.crowd().has_come_since(before) {
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

/// How urgent each change is of anything that surveys look at.
fn changes(ctx: &Arc<Context>) -> impl Stream<Item = Urgency> + Send + Unpin + 'static {
    let caches = &ctx.caches;
    let seen = match &ctx.observer {
        Some(observer) => observer.changes().boxed(),
        None => stream::pending().boxed(),
    };
    let news: [BoxStream<'static, ()>; 7] = [
        ctx.allocator.changes().boxed(),
        // Their statuses say what they were given, and nothing is made with that before a survey has seen it.
        caches.routers.changes().map(drop).boxed(),
        caches.floating.changes().map(drop).boxed(),
        caches.balancers.changes().map(drop).boxed(),
        caches.servers.changes().map(drop).boxed(),
        caches.hypervisors.changes().map(drop).boxed(),
        seen,
    ];
    let news = stream::select_all(news).map(|()| Urgency::News);
    let own_words = [
        own_words::<Network>(ctx),
        own_words::<Subnet>(ctx),
        own_words::<Port>(ctx),
        own_words::<SecurityGroup>(ctx),
    ];
    stream::select(news, stream::select_all(own_words))
}

/// How urgent the changes are of a kind whose statuses tell a survey nothing new: what ports say in theirs, it gave them.
fn own_words<K: Kind>(ctx: &Arc<Context>) -> BoxStream<'static, Urgency> {
    let changes = K::cache(&ctx.caches).changes();
    let ctx = Arc::clone(ctx);
    changes.map(move |change| urgency(&ctx, &change)).boxed()
}

fn urgency<K: Kind>(ctx: &Context, change: &Change<K>) -> Urgency {
    let Change::One(object) = change else {
        return Urgency::News;
    };
    let namespace = object.namespace();
    // What is gone was told of as it was last.
    let there = K::cache(&ctx.caches).get(namespace.as_deref(), &object.name_any());
    let picture = ctx.picture.borrow();
    let found = K::findings(&picture.findings).get(&object.uid().unwrap_or_default());
    Urgency::of(found.map(K::seen), there.as_deref())
}
