//! Gives each object what it lacks, says how it stands, and keeps it for as long as others use it. One reconciler for every
//! kind of this room: they differ in what the plan says of them.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};

use crate::{
    api::security_group::DEFAULT,
    cluster::{
        Error, Result,
        controller::{Reconciler, SLOW_RESYNC},
        telemetry,
        writer::{Claim, Failure},
    },
    network::{
        allocator::Taken,
        plan::{
            group, happening,
            keep::{self, IN_USE, Keep},
            ledger::Given,
            problem::Problem,
            standing::News,
        },
    },
};

use super::{Context, Picture, kind::Kind};

/// When a survey has just ended, what it found is there a moment later.
const AFTER_SURVEY: Duration = Duration::from_millis(50);

/// What is just being given to somebody is in his status by then, or was given up.
const AFTER_GIVING: Duration = Duration::from_secs(1);

/// Reconciles the objects of a kind.
pub struct Controller<K> {
    context: Arc<Context>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Controller<K> {
    /// A reconciler of `K`.
    pub fn new(context: Arc<Context>) -> Self {
        let kind = PhantomData;
        Self { context, kind }
    }
}

impl<K: Kind> Reconciler for Controller<K> {
    type Object = K;
    const NAME: &'static str = K::NAME;

    async fn reconcile(&self, object: Arc<K>) -> Result<Action> {
        let ctx = &*self.context;
        let object = K::cache(&ctx.caches).freshest(object);
        let picture = Arc::clone(&ctx.picture.borrow());
        let uid = object.uid().unwrap_or_default();
        let known = K::findings(&picture.findings).get(&uid);
        // Whatever is newer than the last survey is called when the next one has found something of it.
        let Some(finding) = known.filter(|finding| K::seen(finding).is_of(&*object)) else {
            return Ok(Action::requeue(SLOW_RESYNC));
        };
        let Some(object) = hold(ctx, object, finding).await? else {
            ctx.allocator.forget(&uid);
            ctx.late.forget(&uid);
            return Ok(Action::await_change());
        };
        let made = make_default(ctx, &*object, finding).await;
        let Some(offer) = take::<K>(ctx, &picture, finding) else {
            return Ok(Action::requeue(AFTER_SURVEY));
        };
        let trouble = match made.as_ref().map_err(Error::failure) {
            Err(Failure::Refused | Failure::NotFound) => {
                made.as_ref().err().map(|error| telemetry::chain(error))
            }
            Err(Failure::Conflict | Failure::Unreachable | Failure::Ending) | Ok(()) => None,
        };
        let standing = ctx.standing(K::row(finding));
        let news = News {
            given: Some(&offer.given),
            refused: &offer.refused,
            standing: &standing,
            trouble: trouble.as_deref(),
            now: Timestamp::now(),
        };
        let status = object.standing(finding, &news);
        let before = object.status();
        let patience = (before != Some(&status))
            .then(|| K::patience(before, &status, ctx.allocator.crowd()))
            .flatten();
        if let Some(wait) = ctx.late.may_wait(&uid, patience) {
            made?;
            return Ok(Action::requeue(wait));
        }
        report(ctx, &*object, status).await?;
        made?;
        let seen = K::seen(finding);
        let is_unused = seen.leaving && seen.users.is_empty() && keep::is_held(&*object);
        Ok(Action::requeue(if is_unused {
            AFTER_GIVING
        } else {
            SLOW_RESYNC
        }))
    }
}

/// Holds the object, or lets it go when nobody uses it; none when it was let go.
async fn hold<K: Kind>(
    ctx: &Context,
    object: Arc<K>,
    finding: &K::Finding,
) -> Result<Option<Arc<K>>> {
    let giving = || {
        let place = object.place();
        place.is_some_and(|(network, subnet)| ctx.allocator.is_giving(&network, subnet.as_deref()))
    };
    let used = || !K::seen(finding).users.is_empty() || giving();
    match keep::keep(&*object, K::is_to_be_held(finding), used) {
        Keep::AsItIs => Ok(Some(object)),
        Keep::Release => ctx.writer.release(&*object, IN_USE).await.map(|()| None),
        Keep::Hold => match ctx.writer.hold(&*object, IN_USE).await {
            Ok(held) => {
                K::cache(&ctx.caches).remember(held.clone());
                Ok(Some(Arc::new(held)))
            }
            // It was deleted before it was held.
            Err(error) if error.failure() == Failure::NotFound => Ok(None),
            Err(error) => Err(error),
        },
    }
}

/// Makes the group that ports have which name none. One that is there is left as it is.
async fn make_default<K: Kind>(ctx: &Context, object: &K, finding: &K::Finding) -> Result<()> {
    let project = object.namespace().unwrap_or_default();
    if !K::wants_default(finding) || K::seen(finding).leaving {
        return Ok(());
    }
    if ctx.caches.groups.get(Some(&project), DEFAULT).is_some() {
        return Ok(());
    }
    ctx.writer
        .create(&group::default_of(&project))
        .await
        .map(drop)
}

/// What an object was given, and why not all of it.
#[derive(Default)]
struct Offer {
    given: Given,
    refused: Vec<Problem>,
}

/// Takes what the object lacks; none when a newer survey knows better what that is.
fn take<K: Kind>(ctx: &Context, picture: &Picture, finding: &K::Finding) -> Option<Offer> {
    let mut offer = Offer::default();
    let seen = K::seen(finding);
    let owner = seen.owner();
    for demand in K::demands(finding) {
        match ctx
            .allocator
            .take(picture.survey, &owner, &seen.origin, &demand)
        {
            Taken::Given(given) => {
                offer.given.mac = offer.given.mac.or(given.mac);
                offer.given.grants.extend(given.grants);
            }
            Taken::Refused(problem) => offer.refused.push(problem),
            Taken::Stale => return None,
        }
    }
    Some(offer)
}

/// Says how the object stands, unless it says so already. This is the claim on what it was given, so it fails if anybody
/// wrote the object since it was read.
async fn report<K: Kind>(ctx: &Context, object: &K, status: K::Status) -> Result<()> {
    let written = ctx
        .writer
        .apply_status(object, &status, Claim::Exclusive)
        .await;
    let forget = || ctx.allocator.forget(&object.uid().unwrap_or_default());
    match written {
        Ok(None) => Ok(()),
        Ok(Some(written)) => {
            let before = object
                .status()
                .map_or(&[][..], |status| K::conditions(status));
            for happening in happening::between(before, K::conditions(&status)) {
                ctx.reporter.tell(object, happening);
            }
            K::cache(&ctx.caches).remember(written);
            Ok(())
        }
        Err(error) => {
            // A claim that was refused is no claim. One whose answer was lost may stand.
            match error.failure() {
                Failure::Refused | Failure::Ending => forget(),
                // It was deleted meanwhile: there is nothing to say of it.
                Failure::NotFound => {
                    forget();
                    return Ok(());
                }
                Failure::Conflict | Failure::Unreachable => {}
            }
            Err(error)
        }
    }
}
