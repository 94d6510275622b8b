//! Which controller listens to what: the wiring of the operator's compute room.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use tokio::{sync::watch, time};

use crate::{
    api::{
        guest::Guest,
        hypervisor::Hypervisor,
        port::{OF_SERVER_LABEL, Port},
        server::Server,
    },
    cluster::{
        Change, Writer,
        controller::{Triggers, own, related, run},
        metrics::ControllerMetrics,
    },
    compute::plan::{action::is_finished, hypervisor::node_voice, ports::names, server::NodeVoice},
};

use super::{
    Context,
    action::{self, ActionController},
    catalogue::{FlavorController, ImageController, KeyPairController},
    hypervisor::HypervisorController,
    node::NodeController,
    server::ServerController,
};

/// How often the scheduler's view is made anew from what the API server says, in case anything was missed.
const REBUILD_EVERY: Duration = Duration::from_secs(30);

/// Runs every controller until `stop` says true.
pub async fn all(ctx: Arc<Context>, metrics: ControllerMetrics, stop: watch::Receiver<bool>) {
    let caches = &ctx.caches;
    ctx.scheduler.rebuild(&caches.hypervisors, &caches.servers);
    ctx.ports.rebuild(&caches.ports);
    let actions = ActionController {
        context: Arc::clone(&ctx),
        writer: Writer::new(ctx.writer.client(), action::MANAGER),
    };
    tokio::join!(
        run(
            Arc::new(NodeController(Arc::clone(&ctx))),
            &caches.nodes,
            node_triggers(&ctx),
            metrics.clone(),
            stop.clone()
        ),
        run(
            Arc::new(HypervisorController(Arc::clone(&ctx))),
            &caches.hypervisors,
            hypervisor_triggers(&ctx),
            metrics.clone(),
            stop.clone()
        ),
        run(
            Arc::new(FlavorController(Arc::clone(&ctx))),
            &caches.flavors,
            flavor_triggers(&ctx),
            metrics.clone(),
            stop.clone()
        ),
        run(
            Arc::new(ImageController(Arc::clone(&ctx))),
            &caches.images,
            image_triggers(&ctx),
            metrics.clone(),
            stop.clone()
        ),
        run(
            Arc::new(KeyPairController(Arc::clone(&ctx))),
            &caches.key_pairs,
            vec![own(&caches.key_pairs)],
            metrics.clone(),
            stop.clone()
        ),
        run(
            Arc::new(ServerController(Arc::clone(&ctx))),
            &caches.servers,
            server_triggers(&ctx),
            metrics.clone(),
            stop.clone()
        ),
        run(
            Arc::new(actions),
            &caches.actions,
            action_triggers(&ctx),
            metrics.clone(),
            stop.clone()
        ),
        rebuild(Arc::clone(&ctx), stop.clone()),
    );
}

fn node_triggers(ctx: &Arc<Context>) -> Vec<Triggers<Node>> {
    let caches = &ctx.caches;
    let of_hypervisor = |hypervisor: &Hypervisor| vec![ObjectRef::new(&hypervisor.name_any())];
    vec![
        own(&caches.nodes),
        // One that somebody deleted is made again.
        related(&caches.nodes, &caches.hypervisors, of_hypervisor),
    ]
}

fn server_triggers(ctx: &Arc<Context>) -> Vec<Triggers<Server>> {
    let caches = &ctx.caches;
    let of_guest = |guest: &Guest| {
        let server = &guest.spec.server;
        vec![ObjectRef::new(&server.name).within(&server.namespace)]
    };
    // Servers that wait for a name hear when something of that name appears.
    let naming = |names: fn(&Server, &str, &str) -> bool| {
        let servers = Arc::clone(&caches.servers);
        move |namespace: &str, name: &str| {
            let all = servers.all();
            let unbound = all.iter().filter(|server| {
                server
                    .status
                    .as_ref()
                    .is_none_or(|status| status.node.is_none())
            });
            unbound
                .filter(|server| names(server, namespace, name))
                .map(|server| ObjectRef::from_obj(&**server))
                .collect()
        }
    };
    let of_flavor = naming(|server, _, name| server.spec.flavor == name);
    let of_image = naming(|server, namespace, name| {
        let home = server.namespace().unwrap_or_default();
        server.spec.image.resolve(&home) == (namespace, name)
    });
    let of_key = naming(|server, namespace, name| {
        server.namespace().as_deref() == Some(namespace)
            && server.spec.key_pairs.iter().any(|key| key == name)
    });
    // Of a hypervisor's many words, a server's own repeat one: whether it is heard of.
    let servers = Arc::clone(&caches.servers);
    let voices: Mutex<HashMap<String, NodeVoice>> = Mutex::default();
    let of_hypervisor = move |hypervisor: &Hypervisor| {
        let (name, voice) = (hypervisor.name_any(), node_voice(hypervisor));
        let mut voices = voices.lock().unwrap_or_else(PoisonError::into_inner);
        if voices
            .insert(name.clone(), voice)
            .unwrap_or(NodeVoice::Heard)
            == voice
        {
            return Vec::new();
        }
        let on = |server: &Server| {
            server
                .status
                .as_ref()
                .and_then(|status| status.node.as_deref())
                == Some(&*name)
        };
        servers
            .all()
            .iter()
            .filter(|server| on(server))
            .map(|server| ObjectRef::from_obj(&**server))
            .collect()
    };
    vec![
        own(&caches.servers),
        related(&caches.servers, &caches.guests, of_guest),
        related(&caches.servers, &caches.flavors, move |flavor| {
            of_flavor("", &flavor.name_any())
        }),
        related(&caches.servers, &caches.images, move |image| {
            of_image(&image.namespace().unwrap_or_default(), &image.name_any())
        }),
        related(&caches.servers, &caches.key_pairs, move |key| {
            of_key(&key.namespace().unwrap_or_default(), &key.name_any())
        }),
        related(&caches.servers, &caches.hypervisors, of_hypervisor),
        ports(Arc::clone(ctx)),
        ctx.scheduler.room().boxed(),
    ]
}

/// Triggers for the servers that a port concerns.
fn ports(ctx: Arc<Context>) -> Triggers<Server> {
    let changes = ctx.caches.ports.changes();
    let concerned = move |change: Change<Port>| match change {
        Change::One(port) => {
            ctx.ports.note(&port);
            of_port(&ctx, &port)
        }
        Change::All => {
            ctx.ports.rebuild(&ctx.caches.ports);
            let servers = ctx.caches.servers.all();
            let all = servers.iter();
            all.map(|server| ObjectRef::from_obj(&**server)).collect()
        }
    };
    changes
        .flat_map(move |change| futures::stream::iter(concerned(change)))
        .boxed()
}

/// A port that was made for a server concerns that one; any other those that name it, or would make one of its name.
fn of_port(ctx: &Context, port: &Port) -> Vec<ObjectRef<Server>> {
    let home = port.namespace().unwrap_or_default();
    if let Some(uid) = port.labels().get(OF_SERVER_LABEL) {
        // One of which nobody has said anything yet is only what its server has just made.
        let is_new = port.status.is_none() && port.metadata.deletion_timestamp.is_none();
        let mut owners = port.owner_references().iter();
        let owner = owners.find(|owner| owner.uid == *uid).filter(|_| !is_new);
        return owner
            .map(|owner| ObjectRef::new(&owner.name).within(&home))
            .into_iter()
            .collect();
    }
    let name = port.name_any();
    let servers = ctx.caches.servers.all();
    let naming = servers.iter().filter(|server| {
        server.namespace().as_deref() == Some(&*home) && names(server).any(|named| named == name)
    });
    naming
        .map(|server| ObjectRef::from_obj(&**server))
        .collect()
}

fn action_triggers(ctx: &Arc<Context>) -> Vec<Triggers<crate::api::server_action::ServerAction>> {
    let caches = &ctx.caches;
    // What has ended is history, and concerned by nothing.
    let naming = |namespace: &str, name: &str, ctx: &Context| {
        let all = ctx.caches.actions.all();
        let on = all.iter().filter(|action| {
            action.namespace().as_deref() == Some(namespace)
                && action.spec.server == name
                && !is_finished(action)
        });
        on.map(|action| ObjectRef::from_obj(&**action))
            .collect::<Vec<_>>()
    };
    let (one, two) = (Arc::clone(ctx), Arc::clone(ctx));
    vec![
        own(&caches.actions),
        related(&caches.actions, &caches.guests, move |guest: &Guest| {
            naming(&guest.spec.server.namespace, &guest.spec.server.name, &one)
        }),
        // An action that ended lets the next one on the same server begin.
        related(&caches.actions, &caches.actions, move |action| {
            naming(
                &action.namespace().unwrap_or_default(),
                &action.spec.server,
                &two,
            )
        }),
    ]
}

fn flavor_triggers(ctx: &Arc<Context>) -> Vec<Triggers<crate::api::flavor::Flavor>> {
    let caches = &ctx.caches;
    let flavors = Arc::clone(&caches.flavors);
    let of_server = move |server: &Server| {
        let leaving = flavors
            .get(None, &server.spec.flavor)
            .filter(|flavor| flavor.metadata.deletion_timestamp.is_some());
        leaving
            .iter()
            .map(|flavor| ObjectRef::from_obj(&**flavor))
            .collect()
    };
    vec![
        own(&caches.flavors),
        related(&caches.flavors, &caches.servers, of_server),
    ]
}

fn image_triggers(ctx: &Arc<Context>) -> Vec<Triggers<crate::api::image::Image>> {
    let caches = &ctx.caches;
    let images = Arc::clone(&caches.images);
    let of_server = move |server: &Server| {
        let home = server.namespace().unwrap_or_default();
        let (namespace, name) = server.spec.image.resolve(&home);
        let leaving = images
            .get(Some(namespace), name)
            .filter(|image| image.metadata.deletion_timestamp.is_some());
        leaving
            .iter()
            .map(|image| ObjectRef::from_obj(&**image))
            .collect()
    };
    let images = Arc::clone(&caches.images);
    let of_hypervisor = move |hypervisor: &Hypervisor| {
        let copies = hypervisor
            .status
            .as_ref()
            .map_or(&[][..], |status| &status.images);
        let all = images.all();
        let here = all.iter().filter(|image| {
            copies
                .iter()
                .any(|copy| copy.sha256 == image.spec.source.http.sha256)
        });
        here.map(|image| ObjectRef::from_obj(&**image)).collect()
    };
    vec![
        own(&caches.images),
        related(&caches.images, &caches.servers, of_server),
        related(&caches.images, &caches.hypervisors, of_hypervisor),
    ]
}

fn hypervisor_triggers(ctx: &Arc<Context>) -> Vec<Triggers<Hypervisor>> {
    let caches = &ctx.caches;
    vec![
        own(&caches.hypervisors),
        related(&caches.hypervisors, &caches.nodes, |node| {
            vec![ObjectRef::new(&node.name_any())]
        }),
        heartbeats(Arc::clone(ctx)),
    ]
}

/// Heartbeats come every two seconds from every node; only one that ends a silence is worth a run.
fn heartbeats(ctx: Arc<Context>) -> Triggers<Hypervisor> {
    let first = futures::stream::once(async { Change::All });
    let changes = first.chain(ctx.caches.leases.changes());
    let awake = move |change| {
        let nodes = ctx
            .heartbeats
            .note(change, || ctx.caches.leases.all(), time::Instant::now());
        nodes
            .iter()
            .map(|node| ObjectRef::new(node))
            .collect::<Vec<_>>()
    };
    changes
        .flat_map(move |change| futures::stream::iter(awake(change)))
        .boxed()
}

async fn rebuild(ctx: Arc<Context>, mut stop: watch::Receiver<bool>) {
    let mut ticks = time::interval(REBUILD_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => ctx.scheduler.rebuild(&ctx.caches.hypervisors, &ctx.caches.servers),
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}
