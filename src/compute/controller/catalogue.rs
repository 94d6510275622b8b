//! Says how flavors, images and key pairs stand, and keeps flavors and images for as long as servers use them.
//! Never decides: see `plan::catalogue`.

use std::sync::Arc;

use jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};

use crate::{
    api::{
        flavor::{Flavor, FlavorStatus},
        image::Image,
        key_pair::KeyPair,
        server::Server,
    },
    cluster::{
        Result,
        controller::{Reconciler, SLOW_RESYNC},
        writer::{Claim, Object},
    },
    compute::plan::catalogue::{self, IN_USE, Keep},
};

use super::Context;

/// Reconciles flavors.
pub struct FlavorController(pub Arc<Context>);

impl Reconciler for FlavorController {
    type Object = Flavor;
    const NAME: &'static str = "flavor";

    async fn reconcile(&self, flavor: Arc<Flavor>) -> Result<Action> {
        let ctx = &*self.0;
        let flavor = ctx.caches.flavors.freshest(flavor);
        let users = users(ctx, &*flavor, |server| {
            server.spec.flavor == flavor.name_any()
        });
        let Some(flavor) = keep(ctx, flavor, &users).await? else {
            return Ok(Action::await_change());
        };
        let before = flavor
            .status
            .as_ref()
            .map_or(&[][..], |status| &status.conditions);
        let leaving = flavor.metadata.deletion_timestamp.is_some();
        let generation = flavor.metadata.generation;
        let fact = catalogue::ready("flavor", leaving, &users);
        let status = FlavorStatus {
            observed_generation: generation,
            conditions: catalogue::conditions(before, fact, false, generation, Timestamp::now()),
        };
        let written = ctx
            .writer
            .apply_status(&*flavor, &status, Claim::Shared)
            .await?;
        if let Some(flavor) = written {
            ctx.caches.flavors.remember(flavor);
        }
        Ok(Action::requeue(SLOW_RESYNC))
    }
}

/// Reconciles images.
pub struct ImageController(pub Arc<Context>);

impl Reconciler for ImageController {
    type Object = Image;
    const NAME: &'static str = "image";

    async fn reconcile(&self, image: Arc<Image>) -> Result<Action> {
        let ctx = &*self.0;
        let image = ctx.caches.images.freshest(image);
        let named = (image.namespace().unwrap_or_default(), image.name_any());
        let users = users(ctx, &*image, |server| {
            let home = server.namespace().unwrap_or_default();
            let (namespace, name) = server.spec.image.resolve(&home);
            (namespace, name) == (&*named.0, &*named.1)
        });
        let Some(image) = keep(ctx, image, &users).await? else {
            return Ok(Action::await_change());
        };
        let mut hypervisors = ctx.caches.hypervisors.all();
        hypervisors.sort_by_key(|hypervisor| hypervisor.name_any());
        let hypervisors: Vec<_> = hypervisors.iter().map(|hypervisor| &**hypervisor).collect();
        let status = catalogue::image(&image, &hypervisors, &users, Timestamp::now());
        let written = ctx
            .writer
            .apply_status(&*image, &status, Claim::Shared)
            .await?;
        if let Some(image) = written {
            ctx.caches.images.remember(image);
        }
        Ok(Action::requeue(SLOW_RESYNC))
    }
}

/// Reconciles key pairs.
pub struct KeyPairController(pub Arc<Context>);

impl Reconciler for KeyPairController {
    type Object = KeyPair;
    const NAME: &'static str = "keypair";

    async fn reconcile(&self, key_pair: Arc<KeyPair>) -> Result<Action> {
        let status = catalogue::key_pair(&key_pair, Timestamp::now());
        self.0
            .writer
            .apply_status(&*key_pair, &status, Claim::Shared)
            .await?;
        Ok(Action::requeue(SLOW_RESYNC))
    }
}

/// The servers that use an object on its way out, by name. Nobody needs to know them before that.
fn users<K: kube::Resource>(
    ctx: &Context,
    object: &K,
    uses: impl Fn(&Server) -> bool,
) -> Vec<String> {
    if object.meta().deletion_timestamp.is_none() {
        return Vec::new();
    }
    let servers = ctx.caches.servers.all();
    let using = servers.iter().filter(|server| uses(server));
    let mut names: Vec<_> = using
        .map(|server| {
            format!(
                "{}/{}",
                server.namespace().unwrap_or_default(),
                server.name_any()
            )
        })
        .collect();
    names.sort();
    names
}

/// Holds the object or lets it go; `None` when it was let go.
async fn keep<K: Object>(
    ctx: &Context,
    object: Arc<K>,
    users: &[String],
) -> Result<Option<Arc<K>>> {
    match catalogue::keep(&*object, users) {
        Keep::Hold => ctx
            .writer
            .hold(&*object, IN_USE)
            .await
            .map(|held| Some(Arc::new(held))),
        Keep::Release => ctx.writer.release(&*object, IN_USE).await.map(|()| None),
        Keep::AsItIs => Ok(Some(object)),
    }
}
