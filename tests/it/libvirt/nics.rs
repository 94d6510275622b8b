//! NICs of a guest that runs come and go: on a real libvirt, with a real switch, and seen by the guest itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kilonova::{
    api::guest::{GuestSpec, Nic},
    node::{
        driver::{DomainId, DomainInfo, Driver, DriverEvent, Leftovers, PortId},
        plan::domain::{Datapath, DomainLayout, domain},
    },
};
use testbed::{Node, Seen, wait_for};

/// How long anything may take under emulation on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// The NIC with this number.
pub fn nic(number: u8) -> Nic {
    Nic {
        port: format!("5a3c9f0e-1b2d-4c3e-8f4a-6b7c8d9e0f{number:02x}"),
        name: format!("exercise-{number}"),
        network: "exercise".to_owned(),
        mac: format!("02:00:00:00:77:{number:02x}")
            .parse()
            .expect("it is one"),
        mtu: 1442,
        addresses: Vec::new(),
        port_security: true,
    }
}

struct Exercise<'a, D> {
    driver: &'a D,
    node: &'a Node,
    id: DomainId,
    console: String,
}

/// Boots the guest with one NIC, plugs a second one in and the first one out, and cuts it off. Leaves nothing behind.
pub async fn exercise<D: Driver>(
    driver: &D,
    node: &Node,
    guest: &GuestSpec,
    layout: &DomainLayout,
    up: &str,
) -> Result<()> {
    let (one, two) = (nic(1), nic(2));
    let guest = GuestSpec {
        nics: vec![one.clone()],
        ..guest.clone()
    };
    let run = Exercise {
        driver,
        node,
        id: guest.server.uid.parse()?,
        console: layout.console_log.display().to_string(),
    };
    driver
        .define(run.id, &domain(&guest, layout).to_xml()?)
        .await?;
    let seen = run.info().await?;
    ensure!(
        seen.defined_nics == [id(&one)].into() && seen.plugged_nics.is_empty(),
        "{seen:?}"
    );

    let (began, before) = (Instant::now(), run.said(up));
    driver.start(run.id).await.context("start")?;
    ensure!(run.info().await?.plugged_nics == [id(&one)].into());
    ensure!(run.bound_to(&one).await? == one.port);
    run.says(up, before).await?;
    eprintln!(
        "{:>9.1} ms  start to up, with one NIC",
        began.elapsed().as_secs_f64() * 1e3
    );

    for _ in 0..2 {
        driver
            .plug(run.id, &two, Datapath::Userspace)
            .await
            .context("plug in")?;
    }
    let both = [id(&one), id(&two)].into();
    let seen = run.info().await?;
    ensure!(
        seen.defined_nics == both && seen.plugged_nics == both,
        "{seen:?}"
    );
    ensure!(run.bound_to(&two).await? == two.port);

    let began = Instant::now();
    run.unplug(&one).await.context("plug out")?;
    eprintln!(
        "{:>9.1} ms  plugging out",
        began.elapsed().as_secs_f64() * 1e3
    );
    ensure!(
        run.bound_to(&one).await?.is_empty(),
        "the switch still has its port"
    );
    let seen = run.info().await?;
    ensure!(
        seen.defined_nics == both,
        "it leaves the definition later: {seen:?}"
    );
    for _ in 0..2 {
        driver.unplug(run.id, id(&one)).await?;
    }
    let last = [id(&two)].into();
    let seen = run.info().await?;
    ensure!(
        seen.defined_nics == last && seen.plugged_nics == last,
        "{seen:?}"
    );

    driver.destroy(run.id).await?;
    let seen = run.info().await?;
    ensure!(
        seen.defined_nics == last && seen.plugged_nics.is_empty(),
        "{seen:?}"
    );
    driver.undefine(run.id, Leftovers::Remove).await?;
    Ok(())
}

fn id(nic: &Nic) -> PortId {
    nic.port.parse().expect("a port's UID is a UUID")
}

impl<D: Driver> Exercise<'_, D> {
    async fn info(&self) -> Result<DomainInfo> {
        let info = self.driver.find(self.id).await?;
        info.context("the domain is gone")
    }

    /// Asks the guest to let go of the NIC until it does.
    async fn unplug(&self, nic: &Nic) -> Result<()> {
        let mut events = self.driver.events();
        let ours = |event| matches!(event, DriverEvent::Domain { id, what: kilonova::node::driver::DomainEvent::Unplugged } if id == self.id);
        let done = async {
            loop {
                // Twice: one that is under way already is no failure.
                for _ in 0..2 {
                    self.driver.unplug(self.id, id(nic)).await?;
                }
                let heard =
                    async { while events.next().await.is_some_and(|event| !ours(event)) {} };
                let _ = tokio::time::timeout(Duration::from_secs(10), heard).await;
                if !self.info().await?.plugged_nics.contains(&id(nic)) {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(PATIENCE, done)
            .await
            .context("the guest does not let go of it")?
    }

    /// The logical port that the switch has for the NIC; empty, if it has none.
    async fn bound_to(&self, nic: &Nic) -> Result<String> {
        let words = [
            "ovs-vsctl".to_owned(),
            "--bare".to_owned(),
            "--columns=external_ids".to_owned(),
            "find".to_owned(),
            "Interface".to_owned(),
            format!("external_ids:attached-mac=\"{}\"", nic.mac),
        ];
        let found = self.node.exec(words).await?;
        let mut ids = found.split_whitespace();
        let port = ids.find_map(|id| id.strip_prefix("iface-id="));
        Ok(port.unwrap_or_default().to_owned())
    }

    /// How often the guest has said this on its console.
    fn said(&self, what: &str) -> usize {
        let console = std::fs::read(self.node.path_of(&self.console)).unwrap_or_default();
        String::from_utf8_lossy(&console).matches(what).count()
    }

    /// Waits until the guest has said it once more than so often.
    async fn says(&self, what: &str, before: usize) -> Result<()> {
        wait_for(
            &format!("the guest to print {what:?}"),
            PATIENCE,
            async || Ok(Seen::when(self.said(what) > before, "it has not")),
        )
        .await
        .map(drop)
    }
}
