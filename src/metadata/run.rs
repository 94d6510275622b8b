//! Keeps ports, devices and listeners as the node's guests need them: gather, decide, act, report.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures::StreamExt as _;
use kube::Client;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time,
};
use tracing::{info, warn};

use crate::{
    api::{
        address::Mac,
        guest::Guest,
        metadata::{ADDRESS, PORT, mac},
    },
    cluster::{Cache, telemetry},
    ovsdb::Endpoint,
};

use super::{
    devices::{self, Devices},
    metrics::MetadataMetrics,
    namespace::Namespace,
    plan::{
        ports::{self, Decision, Place},
        residents::Residents,
    },
    seeds::Seeds,
    server::{self, Desk},
    switch::{self, Switch},
    token::{NoKey, Tokens},
};

/// How long nothing is looked at that nobody tells of: devices come and go without a word.
const CALM: Duration = Duration::from_secs(5);
/// The same while something is wrong or under way.
const HASTE: Duration = Duration::from_millis(500);
/// How often it is looked again at once what was just changed: a device that was taken is served then.
const PASSES: usize = 3;
/// What is said while nothing is wrong.
const UNDER_WAY: &str = "ports of the metadata service are being made";
/// How much is waited for after a first change: changes come in crowds.
const GATHER: Duration = Duration::from_millis(20);
/// How long the ports may take to go when the process ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the service works with.
pub struct Service {
    /// The node's namespace in the cluster.
    pub namespace: String,
    /// The network namespace in which it listens.
    pub network: Namespace,
    /// The database of the node's switch.
    pub switch: Endpoint,
    /// The node's guests.
    pub guests: Cache<Guest>,
    /// For the seeds.
    pub client: Client,
    /// What is counted.
    pub metrics: MetadataMetrics,
}

/// The service cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No way to the devices.
    #[error("failed to begin to serve metadata")]
    Devices(#[from] devices::Error),
    /// No tokens.
    #[error(transparent)]
    Tokens(#[from] NoKey),
}

/// What could not be done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Device(#[from] devices::Error),
    #[error(transparent)]
    Switch(#[from] switch::Error),
    #[error("failed to listen on {ADDRESS}:{PORT} of device {0}")]
    Listen(String, #[source] std::io::Error),
}

/// Serves until it is told to stop; `trouble` says meanwhile what is wrong.
pub async fn run(
    service: Service,
    trouble: watch::Sender<Option<String>>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let (residents, seen) = watch::channel(Arc::default());
    let seeds = Seeds::new(service.client, &service.namespace);
    let desk = Desk::new(seen, seeds, Tokens::new()?, service.metrics);
    let devices = Devices::open(&service.network).await?;
    let mut keeper = Keeper {
        switch: Switch::open(service.switch),
        network: service.network,
        guests: service.guests,
        devices,
        desk: Arc::new(desk),
        residents,
        served: BTreeMap::new(),
        tasks: JoinSet::new(),
    };
    let mut said = None;
    tokio::select! {
        () = keeper.keep(|why: Option<String>| {
            if why != said {
                match why.as_deref() {
                    Some(UNDER_WAY) => {}
                    Some(why) => warn!("{why}"),
                    None => info!("all networks of this node's guests are served"),
                }
                said.clone_from(&why);
            }
            trouble.send_replace(why);
        }) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    keeper.leave().await;
    Ok(())
}

struct Keeper {
    switch: Switch,
    network: Namespace,
    guests: Cache<Guest>,
    devices: Devices,
    desk: Arc<Desk>,
    residents: watch::Sender<Arc<Residents>>,
    /// The networks that are served, by UID.
    served: BTreeMap<String, Served>,
    tasks: JoinSet<()>,
}

/// How a network is served.
struct Served {
    /// Its device's number: one that was made anew has another.
    index: u32,
    neighbours: BTreeMap<Ipv4Addr, Mac>,
    task: AbortHandle,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keeper {
    /// Looks whenever something has changed, and now and then.
    async fn keep(&mut self, mut tell: impl FnMut(Option<String>)) {
        let mut guests = pin!(self.guests.changes());
        let mut rows = self.switch.changes();
        // A host's own database is there at once, or it is worth saying that it is not.
        let _ = time::timeout(HASTE, self.switch.ready()).await;
        loop {
            let troubles = self.look().await;
            let pause = if troubles.is_empty() { CALM } else { HASTE };
            tell((!troubles.is_empty()).then(|| troubles.join("; ")));
            tokio::select! {
                _ = guests.next() => {}
                _ = rows.next() => {}
                () = time::sleep(pause) => {}
            }
            // What has come since is seen by the next look as well.
            let crowd = async {
                loop {
                    tokio::select! {
                        _ = guests.next() => {}
                        _ = rows.next() => {}
                    }
                }
            };
            let _ = time::timeout(GATHER, crowd).await;
        }
    }

    /// Does what is to be done; returns what is wrong or not done yet.
    async fn look(&mut self) -> Vec<String> {
        let mut troubles = Vec::new();
        for _ in 0..PASSES {
            let residents = Arc::new(Residents::of(&self.guests.all()));
            self.residents.send_replace(Arc::clone(&residents));
            self.forget_seeds();
            let has_taken;
            (troubles, has_taken) = self.pass(&residents).await;
            if !has_taken {
                break;
            }
        }
        let served = i64::try_from(self.served.len()).unwrap_or(i64::MAX);
        self.desk.metrics.networks.set(served);
        troubles
    }

    /// Does what can be done without a further look; also says whether a device was taken.
    async fn pass(&mut self, residents: &Residents) -> (Vec<String>, bool) {
        if let Some(trouble) = self.switch.trouble() {
            // A node whose guests have no network need not have a switch.
            let is_idle = residents.networks().next().is_none() && self.served.is_empty();
            let troubles = if is_idle { Vec::new() } else { vec![trouble] };
            return (troubles, false);
        }
        let decision = match self.decide(residents).await {
            Ok(decision) => decision,
            Err(error) => return (vec![telemetry::chain(&error)], false),
        };
        let mut troubles = decision.troubles.clone();
        let acted = self.act(&decision, residents).await;
        if let Err(error) = &acted {
            troubles.push(telemetry::chain(error));
        }
        if troubles.is_empty() && !decision.is_settled() {
            troubles.push(UNDER_WAY.to_owned());
        }
        (troubles, acted.is_ok() && !decision.take.is_empty())
    }

    fn forget_seeds(&self) {
        let guests = self.guests.all();
        let names: BTreeSet<&str> = guests
            .iter()
            .map(|guest| &*guest.spec.seed_secret)
            .collect();
        self.desk.seeds.keep(&names);
    }

    async fn decide(&self, residents: &Residents) -> Result<Decision, devices::Error> {
        let wanted: BTreeSet<&str> = residents.networks().collect();
        let found = self.switch.found();
        let mut places: BTreeMap<String, Place> = BTreeMap::new();
        for port in found.iter().filter(|port| port.network.is_some()) {
            let place = self.devices.find(&port.name).await?;
            places.insert(port.name.clone(), place);
        }
        Ok(ports::decide(&wanted, &found, &places))
    }

    async fn act(&mut self, decision: &Decision, residents: &Residents) -> Result<(), Failure> {
        self.served
            .retain(|network, served| match decision.serve.get(network) {
                Some((_, index)) => *index == served.index,
                None => false,
            });
        // First what works, so that nothing that fails is in its way.
        for (network, (device, index)) in &decision.serve {
            self.serve(network, device, *index, residents).await?;
        }
        for (device, take) in &decision.take {
            self.devices.take(device, *take).await?;
        }
        if !decision.remove.is_empty() {
            for (device, why) in &decision.remove {
                info!(device, "a port is removed: {why}");
            }
            let names = decision.remove.keys().map(String::as_str);
            self.switch.remove(names).await?;
        }
        for (network, device) in &decision.add {
            info!(network, device, "a port is made");
            self.switch.add(network, device).await?;
        }
        Ok(())
    }

    /// Sees to it that a network is served by this device.
    async fn serve(
        &mut self,
        network: &str,
        device: &str,
        index: u32,
        residents: &Residents,
    ) -> Result<(), Failure> {
        let wanted = residents.neighbours(network);
        let served = if let Some(served) = self.served.get_mut(network) {
            served
        } else {
            self.devices.set_up(device, index, mac(network)).await?;
            self.devices
                .neighbours(device, index, (&BTreeMap::new(), &wanted))
                .await?;
            let failed = |error| Failure::Listen(device.to_owned(), error);
            let listener = self.network.listen(device).await;
            let listener = listener
                .map_err(devices::Error::Namespace)?
                .map_err(failed)?;
            let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
            let task = server::serve(Arc::clone(&self.desk), network.to_owned(), listener);
            info!(network, device, "metadata is served");
            let served = Served {
                index,
                neighbours: wanted.clone(),
                task: self.tasks.spawn(task),
            };
            self.served.entry(network.to_owned()).or_insert(served)
        };
        if served.neighbours != wanted {
            let change = (&served.neighbours, &wanted);
            self.devices.neighbours(device, index, change).await?;
            served.neighbours = wanted;
        }
        Ok(())
    }

    /// Removes all ports: without this process their devices would be gone, and the switch's daemon would go on trying to
    /// use them.
    async fn leave(&mut self) {
        self.served.clear();
        let found = self.switch.found();
        let ours = found.iter().filter(|port| port.network.is_some());
        let names: Vec<&str> = ours.map(|port| &*port.name).collect();
        if names.is_empty() {
            return;
        }
        match time::timeout(FAREWELL, self.switch.remove(names)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!("ports are left behind: {}", telemetry::chain(&error)),
            Err(_) => warn!("ports are left behind: the switch does not answer"),
        }
    }
}
