//! The whole contract of `Driver`, tried on a real hypervisor: every verb twice, every event waited for.
//!
//! It knows neither libvirt nor where it runs: the driver and the hands that kill processes are given to it. See
//! `node` beside it for who runs it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use kilonova::{
    api::guest::GuestSpec,
    node::{
        driver::{
            DomainEvent, DomainId, DomainInfo, DomainState, Driver, DriverEvent, Events, Failure,
            Leftovers, PauseReason, StopReason,
        },
        plan::domain::{Domain, DomainLayout, domain},
    },
};
use testbed::{Seen, wait_for};

/// How long anything may take under emulation on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// What can be done to a host from outside.
pub trait Hands {
    /// Kills the guest's QEMU process, with SIGKILL.
    async fn kill_qemu(&self, domain: &str) -> Result<()>;
    /// The process id of the guest's QEMU.
    async fn qemu_pid(&self, domain: &str) -> Result<String>;
    /// Kills libvirtd and starts it anew; the first is done when this returns.
    async fn restart_libvirtd(&self) -> Result<()>;
    /// Where this process finds a file that the host calls `inner`.
    fn path_of(&self, inner: &Path) -> PathBuf;
}

/// How long one step took.
#[derive(Clone, Debug)]
pub struct Lap {
    /// What was done.
    pub what: &'static str,
    /// How long it took.
    pub took: Duration,
}

/// The state of an exercise.
pub struct Exercise<'a, D, H> {
    driver: &'a D,
    hands: &'a H,
    id: DomainId,
    name: String,
    domain: Domain,
    console: PathBuf,
    /// What the guest prints on its console when it is up.
    up: &'a str,
    events: Events,
    laps: Vec<Lap>,
}

/// Runs every step with a guest that boots from `layout` and prints `up` on its console. Leaves nothing behind.
pub async fn exercise<D: Driver, H: Hands>(
    driver: &D,
    hands: &H,
    guest: &GuestSpec,
    layout: &DomainLayout,
    up: &str,
) -> Result<Vec<Lap>> {
    let domain = domain(guest, layout);
    let mut run = Exercise {
        driver,
        hands,
        id: guest.server.uid.parse()?,
        name: kilonova::node::plan::domain::domain_name(&guest.server.uid),
        domain,
        console: hands.path_of(&layout.console_log),
        up,
        events: driver.events(),
        laps: Vec::new(),
    };
    run.absent().await.context("an absent domain")?;
    run.define().await.context("define")?;
    run.off().await.context("verbs on a domain that is off")?;
    run.start().await.context("start")?;
    run.pause().await.context("pause and resume")?;
    run.save().await.context("managed save")?;
    run.reset().await.context("reset")?;
    run.kill().await.context("a killed QEMU")?;
    run.lose_libvirtd().await.context("a restarted libvirtd")?;
    run.shut_down().await.context("shutdown")?;
    run.destroy().await.context("destroy")?;
    run.undefine().await.context("undefine")?;
    Ok(run.laps)
}

impl<D: Driver, H: Hands> Exercise<'_, D, H> {
    async fn absent(&mut self) -> Result<()> {
        ensure!(self.driver.find(self.id).await?.is_none());
        self.driver.destroy(self.id).await?;
        self.driver.undefine(self.id, Leftovers::Remove).await?;
        self.driver.discard_saved(self.id).await?;
        for refused in [
            self.driver.start(self.id).await,
            self.driver.pause(self.id).await,
            self.driver.reset(self.id).await,
        ] {
            ensure!(refused.is_err_and(|error| error.kind == Failure::Retry));
        }
        let broken = self.driver.define(self.id, "<domain/>").await;
        ensure!(broken.is_err_and(|error| error.kind == Failure::GiveUp));
        Ok(())
    }

    async fn define(&mut self) -> Result<()> {
        let xml = self.domain.to_xml()?;
        for _ in 0..2 {
            let begun = Instant::now();
            self.driver.define(self.id, &xml).await?;
            self.lap("define", begun);
            self.heard("Defined", |what| what == DomainEvent::Defined)
                .await?;
        }
        let info = self.info().await?;
        ensure!(info.name == self.name);
        ensure!(info.mark == Some(self.domain.mark()?), "{:?}", info.mark);
        ensure!(info.running_mark.is_none() && !info.has_managed_save);
        ensure!(info.state == DomainState::Shutoff(StopReason::Unknown));
        ensure!(self.driver.list().await?.contains(&info));
        Ok(())
    }

    async fn off(&mut self) -> Result<()> {
        self.driver.destroy(self.id).await?;
        self.driver.ask_shutdown(self.id).await?;
        for refused in [
            self.driver.pause(self.id).await,
            self.driver.resume(self.id).await,
            self.driver.suspend_to_disk(self.id).await,
            self.driver.nmi(self.id).await,
        ] {
            ensure!(refused.is_err_and(|error| error.kind == Failure::Retry));
        }
        Ok(())
    }

    async fn start(&mut self) -> Result<()> {
        let boots = self.boots();
        let begun = Instant::now();
        self.driver.start(self.id).await?;
        self.lap("start", begun);
        self.driver.start(self.id).await?;
        self.heard("Started", |what| what == DomainEvent::Started)
            .await?;
        let info = self.info().await?;
        ensure!(info.state == DomainState::Running, "{:?}", info.state);
        ensure!(info.running_mark == info.mark);
        let looked = Instant::now();
        self.info().await?;
        self.lap("find", looked);
        ensure!(
            self.driver
                .undefine(self.id, Leftovers::Remove)
                .await
                .is_err()
        );
        self.booted(boots, begun).await
    }

    async fn pause(&mut self) -> Result<()> {
        for _ in 0..2 {
            self.driver.pause(self.id).await?;
        }
        self.heard("Paused", |what| {
            what == DomainEvent::Paused(PauseReason::User)
        })
        .await?;
        self.is(DomainState::Paused(PauseReason::User)).await?;
        for _ in 0..2 {
            self.driver.resume(self.id).await?;
        }
        self.heard("Resumed", |what| what == DomainEvent::Resumed)
            .await?;
        self.is(DomainState::Running).await?;
        self.driver.nmi(self.id).await?;
        self.driver.nmi(self.id).await?;
        Ok(())
    }

    async fn save(&mut self) -> Result<()> {
        let begun = Instant::now();
        self.driver.suspend_to_disk(self.id).await?;
        self.lap("suspend_to_disk", begun);
        self.driver.suspend_to_disk(self.id).await?;
        self.heard("Stopped(Saved)", stopped(StopReason::Saved))
            .await?;
        let info = self.info().await?;
        ensure!(info.has_managed_save);
        ensure!(info.state == DomainState::Shutoff(StopReason::Saved));
        let begun = Instant::now();
        self.driver.start(self.id).await?;
        self.lap("start from saved memory", begun);
        self.heard("Started", |what| what == DomainEvent::Started)
            .await?;
        let info = self.info().await?;
        ensure!(!info.has_managed_save && info.state == DomainState::Running);
        ensure!(info.running_mark == Some(self.domain.mark()?));

        self.driver.suspend_to_disk(self.id).await?;
        for _ in 0..2 {
            self.driver.discard_saved(self.id).await?;
        }
        ensure!(!self.info().await?.has_managed_save);
        self.boot().await
    }

    async fn reset(&mut self) -> Result<()> {
        for _ in 0..2 {
            self.quiet().await;
            self.driver.reset(self.id).await?;
            self.heard("Rebooted", |what| what == DomainEvent::Rebooted)
                .await?;
        }
        self.is(DomainState::Running).await
    }

    async fn kill(&mut self) -> Result<()> {
        self.quiet().await;
        let begun = Instant::now();
        self.hands.kill_qemu(&self.name).await?;
        let killed = Instant::now();
        self.heard("Stopped(Crashed)", stopped(StopReason::Crashed))
            .await?;
        self.lap("killing QEMU itself", begun);
        self.lap("QEMU killed to Stopped(Crashed)", killed);
        self.is(DomainState::Shutoff(StopReason::Crashed)).await?;
        self.boot().await
    }

    async fn lose_libvirtd(&mut self) -> Result<()> {
        let pid = self.hands.qemu_pid(&self.name).await?;
        self.quiet().await;
        let begun = Instant::now();
        self.hands.restart_libvirtd().await?;
        self.event("Disconnected", |event| event == DriverEvent::Disconnected)
            .await?;
        self.event("Connected", |event| event == DriverEvent::Connected)
            .await?;
        self.lap("libvirtd killed to Connected", begun);
        ensure!(self.hands.qemu_pid(&self.name).await? == pid);
        self.is(DomainState::Running).await?;
        self.quiet().await;
        self.driver.pause(self.id).await?;
        self.heard("Paused", |what| {
            what == DomainEvent::Paused(PauseReason::User)
        })
        .await?;
        self.driver.resume(self.id).await?;
        Ok(())
    }

    async fn shut_down(&mut self) -> Result<()> {
        self.quiet().await;
        let begun = Instant::now();
        self.driver.ask_shutdown(self.id).await?;
        self.driver.ask_shutdown(self.id).await?;
        self.heard("Stopped(Shutdown)", stopped(StopReason::Shutdown))
            .await?;
        self.lap("ask_shutdown to Stopped(Shutdown)", begun);
        self.is(DomainState::Shutoff(StopReason::Shutdown)).await?;
        self.driver.ask_shutdown(self.id).await?;
        Ok(())
    }

    async fn destroy(&mut self) -> Result<()> {
        self.driver.start(self.id).await?;
        self.quiet().await;
        let begun = Instant::now();
        self.driver.destroy(self.id).await?;
        self.lap("destroy", begun);
        self.driver.destroy(self.id).await?;
        self.heard("Stopped(Destroyed)", stopped(StopReason::Destroyed))
            .await?;
        self.is(DomainState::Shutoff(StopReason::Destroyed)).await
    }

    async fn undefine(&mut self) -> Result<()> {
        self.driver.undefine(self.id, Leftovers::Keep).await?;
        ensure!(self.driver.find(self.id).await?.is_none());
        self.driver.define(self.id, &self.domain.to_xml()?).await?;
        for _ in 0..2 {
            self.driver.undefine(self.id, Leftovers::Remove).await?;
        }
        self.heard("Undefined", |what| what == DomainEvent::Undefined)
            .await?;
        ensure!(self.driver.find(self.id).await?.is_none());
        ensure!(
            self.driver
                .list()
                .await?
                .iter()
                .all(|info| info.id != self.id)
        );
        Ok(())
    }

    async fn info(&self) -> Result<DomainInfo> {
        let info = self.driver.find(self.id).await?;
        info.context("the domain is gone")
    }

    async fn is(&self, state: DomainState) -> Result<()> {
        let is = self.info().await?.state;
        ensure!(is == state, "the domain is {is:?} instead of {state:?}");
        Ok(())
    }

    /// Starts the guest from nothing and waits until it is up.
    async fn boot(&mut self) -> Result<()> {
        let boots = self.boots();
        let begun = Instant::now();
        self.driver.start(self.id).await?;
        self.booted(boots, begun).await
    }

    /// How often the guest has said on its console that it is up.
    fn boots(&self) -> usize {
        let console = std::fs::read(&self.console).unwrap_or_default();
        String::from_utf8_lossy(&console).matches(self.up).count()
    }

    /// Waits until the guest has said so once more than these times.
    async fn booted(&mut self, before: usize, begun: Instant) -> Result<()> {
        let what = format!("the guest to print {:?}", self.up);
        wait_for(&what, PATIENCE, async || {
            let boots = self.boots();
            Ok(Seen::when(
                boots > before,
                format!("it did so {boots} times"),
            ))
        })
        .await?;
        self.lap("start to up", begun);
        Ok(())
    }

    /// Forgets what has happened so far, so that what is heard next is news.
    async fn quiet(&mut self) {
        let pause = Duration::from_millis(200);
        while let Ok(Some(_)) = tokio::time::timeout(pause, self.events.next()).await {}
    }

    async fn heard(&mut self, what: &str, matches: impl Fn(DomainEvent) -> bool) -> Result<()> {
        let id = self.id;
        let ours = move |event| match event {
            DriverEvent::Domain { id: of, what } => of == id && matches(what),
            DriverEvent::Connected | DriverEvent::Disconnected | DriverEvent::Missed => false,
        };
        self.event(what, ours).await
    }

    async fn event(&mut self, what: &str, matches: impl Fn(DriverEvent) -> bool) -> Result<()> {
        let heard = async {
            let mut others = Vec::new();
            while let Some(event) = self.events.next().await {
                if matches(event) {
                    return Ok(());
                }
                others.push(event);
            }
            bail!("the driver ended; heard {others:?}")
        };
        match tokio::time::timeout(PATIENCE, heard).await {
            Ok(result) => result,
            Err(_) => bail!("no event {what}"),
        }
    }

    fn lap(&mut self, what: &'static str, begun: Instant) {
        let took = begun.elapsed();
        self.laps.push(Lap { what, took });
    }
}

fn stopped(reason: StopReason) -> impl Fn(DomainEvent) -> bool {
    move |what| what == DomainEvent::Stopped(reason)
}
