//! A hypervisor in memory, for tests of what stands on `Driver`.
//!
//! Deterministic: nothing happens but what a test does, at once and in order. It keeps the contract of the trait as
//! libvirt's driver does, the kinds of failures included.

use crate::node::plan::domain::Datapath;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
};

use serde::Deserialize;
use tokio::sync::broadcast;

use crate::api::guest::Nic;

use super::{
    driver::{
        DomainEvent, DomainId, DomainInfo, DomainState, Driver, DriverError, DriverEvent, Events,
        Failure, Leftovers, Operation, PauseReason, PortId, StopReason, Subject,
    },
    plan::{
        capabilities::HostFacts,
        domain::{Mark, ports},
    },
};

/// How many events a test may leave unheard.
const EVENTS_MAX: usize = 1024;

/// A hypervisor in memory.
pub struct Fake {
    state: Mutex<State>,
    events: broadcast::Sender<DriverEvent>,
    host: HostFacts,
}

#[derive(Default)]
struct State {
    domains: BTreeMap<DomainId, FakeDomain>,
    calls: Vec<(Operation, Subject)>,
    failures: Vec<(Operation, Failure)>,
    unreachable: bool,
    kept: Vec<DomainId>,
}

#[derive(Clone)]
struct FakeDomain {
    info: DomainInfo,
    xml: String,
    heeds_power_button: bool,
    lets_go: bool,
}

/// What the fake reads of a definition.
#[derive(Deserialize)]
struct Definition {
    name: String,
    uuid: String,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize, Default)]
struct Metadata {
    guest: Option<Mark>,
}

impl Fake {
    /// An empty host.
    pub fn new(host: HostFacts) -> Self {
        Self {
            state: Mutex::default(),
            events: broadcast::Sender::new(EVENTS_MAX),
            host,
        }
    }

    /// Puts a domain there, as if it had always been there: somebody else's, for instance.
    pub fn put(&self, info: DomainInfo) {
        let domain = FakeDomain {
            info,
            xml: String::new(),
            heeds_power_button: true,
            lets_go: true,
        };
        self.state().domains.insert(domain.info.id, domain);
    }

    /// Lets the next call of this verb fail. Several are used up one by one.
    pub fn fail_next(&self, operation: Operation, kind: Failure) {
        self.state().failures.push((operation, kind));
    }

    /// Takes the hypervisor away, or brings it back.
    pub fn set_reachable(&self, reachable: bool) {
        self.state().unreachable = !reachable;
        self.tell(if reachable {
            DriverEvent::Connected
        } else {
            DriverEvent::Disconnected
        });
    }

    /// Whether the guest powers off when asked; it does unless told otherwise.
    pub fn heed_power_button(&self, id: DomainId, heeds: bool) {
        self.change(id, |domain| domain.heeds_power_button = heeds);
    }

    /// Whether the guest lets go of NICs when asked; it does unless told otherwise.
    pub fn let_go(&self, id: DomainId, lets_go: bool) {
        self.change(id, |domain| domain.lets_go = lets_go);
    }

    /// The domain ends by itself.
    pub fn stop(&self, id: DomainId, reason: StopReason) {
        self.change(id, |domain| domain.stop(reason));
        self.happened(id, DomainEvent::Stopped(reason));
    }

    /// The domain stands still by itself.
    pub fn stand_still(&self, id: DomainId, reason: PauseReason) {
        self.change(id, |domain| domain.info.state = DomainState::Paused(reason));
        self.happened(id, DomainEvent::Paused(reason));
    }

    /// What the domain's definition is.
    pub fn xml(&self, id: DomainId) -> Option<String> {
        let state = self.state();
        state.domains.get(&id).map(|domain| domain.xml.clone())
    }

    /// The domains whose UEFI variables and TPM state outlived them.
    pub fn kept(&self) -> Vec<DomainId> {
        self.state().kept.clone()
    }

    /// Every call so far, failed ones included.
    pub fn calls(&self) -> Vec<(Operation, Subject)> {
        self.state().calls.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn tell(&self, event: DriverEvent) {
        let _ = self.events.send(event);
    }

    fn happened(&self, id: DomainId, what: DomainEvent) {
        self.tell(DriverEvent::Domain { id, what });
    }

    fn change(&self, id: DomainId, change: impl FnOnce(&mut FakeDomain)) {
        change(self.state().domains.get_mut(&id).unwrap());
    }

    /// Notes a call, and fails it if it shall fail.
    fn enter(&self, operation: Operation, subject: Subject) -> Result<(), DriverError> {
        let mut state = self.state();
        state.calls.push((operation, subject));
        if state.unreachable {
            return Err(error(
                operation,
                subject,
                Failure::Unreachable,
                "unreachable",
            ));
        }
        let planned = state.failures.iter().position(|it| it.0 == operation);
        match planned {
            Some(index) => {
                let (_, kind) = state.failures.remove(index);
                Err(error(operation, subject, kind, "made to fail"))
            }
            None => Ok(()),
        }
    }

    /// Runs a verb on a domain that must be there and ours, and tells what happened.
    fn verb(
        &self,
        operation: Operation,
        id: DomainId,
        needs_process: bool,
        act: impl FnOnce(&mut FakeDomain) -> Vec<DomainEvent>,
    ) -> Result<(), DriverError> {
        let subject = Subject::Domain(id);
        self.enter(operation, subject)?;
        let happened = {
            let mut state = self.state();
            let Some(domain) = state.domains.get_mut(&id) else {
                return Err(error(operation, subject, Failure::Retry, "absent"));
            };
            if !domain.info.is_ours() {
                return Err(error(operation, subject, Failure::GiveUp, "foreign"));
            }
            if needs_process && !domain.info.state.is_active() {
                return Err(error(operation, subject, Failure::Retry, "off"));
            }
            act(domain)
        };
        for what in happened {
            self.happened(id, what);
        }
        Ok(())
    }

    /// The same for a verb whose goal is reached when there is no domain.
    fn verb_if_there(
        &self,
        operation: Operation,
        id: DomainId,
        act: impl FnOnce(&mut FakeDomain) -> Vec<DomainEvent>,
    ) -> Result<(), DriverError> {
        if self.state().domains.contains_key(&id) {
            self.verb(operation, id, false, act)
        } else {
            self.enter(operation, Subject::Domain(id))
        }
    }
}

impl FakeDomain {
    fn run(&mut self) {
        self.info.state = DomainState::Running;
        self.info.running_mark.clone_from(&self.info.mark);
        self.info.plugged_nics.clone_from(&self.info.defined_nics);
        self.info.has_managed_save = false;
    }

    fn stop(&mut self, reason: StopReason) {
        self.info.state = DomainState::Shutoff(reason);
        self.info.running_mark = None;
        self.info.plugged_nics.clear();
    }

    /// Moves to `state`, and tells `event` if it was not there already.
    fn turn(&mut self, state: DomainState, event: DomainEvent) -> Vec<DomainEvent> {
        if self.info.state == state {
            return Vec::new();
        }
        self.info.state = state;
        vec![event]
    }
}

fn error(
    operation: Operation,
    subject: Subject,
    kind: Failure,
    why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> DriverError {
    DriverError {
        operation,
        subject,
        kind,
        source: why.into(),
    }
}

impl Driver for Fake {
    async fn list(&self) -> Result<Vec<DomainInfo>, DriverError> {
        self.enter(Operation::List, Subject::Host)?;
        let state = self.state();
        let all = state.domains.values().map(|domain| &domain.info);
        Ok(all.filter(|info| info.is_ours()).cloned().collect())
    }

    async fn find(&self, id: DomainId) -> Result<Option<DomainInfo>, DriverError> {
        self.enter(Operation::Find, Subject::Domain(id))?;
        let state = self.state();
        Ok(state.domains.get(&id).map(|domain| domain.info.clone()))
    }

    async fn define(&self, id: DomainId, xml: &str) -> Result<(), DriverError> {
        let subject = Subject::Domain(id);
        self.enter(Operation::Define, subject)?;
        let refuse = |why| error(Operation::Define, subject, Failure::GiveUp, why);
        let read: Definition =
            quick_xml::de::from_str(xml).map_err(|error| refuse(error.to_string()))?;
        if read.uuid != id.to_string() {
            return Err(refuse(format!("the definition is of {}", read.uuid)));
        }
        let nics = ports(xml).map_err(|error| refuse(error.to_string()))?;
        let nics = nics.iter().map(|port| port.parse().unwrap()).collect();
        {
            let mut state = self.state();
            let domain = state.domains.entry(id).or_insert_with(|| FakeDomain {
                info: DomainInfo {
                    id,
                    name: read.name,
                    state: DomainState::Shutoff(StopReason::Unknown),
                    has_managed_save: false,
                    mark: read.metadata.guest.clone(),
                    running_mark: None,
                    defined_nics: BTreeSet::new(),
                    plugged_nics: BTreeSet::new(),
                },
                xml: String::new(),
                heeds_power_button: true,
                lets_go: true,
            });
            if !domain.info.is_ours() {
                return Err(refuse("foreign".into()));
            }
            domain.info.mark = read.metadata.guest;
            domain.info.defined_nics = nics;
            xml.clone_into(&mut domain.xml);
        }
        self.happened(id, DomainEvent::Defined);
        Ok(())
    }

    async fn undefine(&self, id: DomainId, leftovers: Leftovers) -> Result<(), DriverError> {
        let mut active = false;
        self.verb_if_there(Operation::Undefine, id, |domain| {
            active = domain.info.state.is_active();
            Vec::new()
        })?;
        if active {
            let subject = Subject::Domain(id);
            return Err(error(Operation::Undefine, subject, Failure::Retry, "on"));
        }
        let removed = self.state().domains.remove(&id);
        if removed.is_some() && leftovers == Leftovers::Keep {
            self.state().kept.push(id);
        }
        if removed.is_some() {
            self.happened(id, DomainEvent::Undefined);
        }
        Ok(())
    }

    async fn start(&self, id: DomainId) -> Result<(), DriverError> {
        self.verb(Operation::Start, id, false, |domain| {
            if domain.info.state.is_active() {
                return Vec::new();
            }
            domain.run();
            vec![DomainEvent::Started, DomainEvent::Resumed]
        })
    }

    async fn ask_shutdown(&self, id: DomainId) -> Result<(), DriverError> {
        self.verb(Operation::AskShutdown, id, false, |domain| {
            if domain.info.state != DomainState::Running || !domain.heeds_power_button {
                return Vec::new();
            }
            domain.stop(StopReason::Shutdown);
            vec![
                DomainEvent::ShuttingDown,
                DomainEvent::Stopped(StopReason::Shutdown),
            ]
        })
    }

    async fn destroy(&self, id: DomainId) -> Result<(), DriverError> {
        self.verb_if_there(Operation::Destroy, id, |domain| {
            if !domain.info.state.is_active() {
                return Vec::new();
            }
            domain.stop(StopReason::Destroyed);
            vec![DomainEvent::Stopped(StopReason::Destroyed)]
        })
    }

    async fn pause(&self, id: DomainId) -> Result<(), DriverError> {
        self.verb(Operation::Pause, id, true, |domain| {
            let paused = DomainState::Paused(PauseReason::User);
            domain.turn(paused, DomainEvent::Paused(PauseReason::User))
        })
    }

    async fn resume(&self, id: DomainId) -> Result<(), DriverError> {
        self.verb(Operation::Resume, id, true, |domain| {
            domain.turn(DomainState::Running, DomainEvent::Resumed)
        })
    }

    async fn suspend_to_disk(&self, id: DomainId) -> Result<(), DriverError> {
        let is_saved =
            |domain: &FakeDomain| !domain.info.state.is_active() && domain.info.has_managed_save;
        let saved = self.state().domains.get(&id).is_some_and(is_saved);
        self.verb(Operation::SuspendToDisk, id, !saved, |domain| {
            if saved {
                return Vec::new();
            }
            domain.stop(StopReason::Saved);
            domain.info.has_managed_save = true;
            vec![DomainEvent::Stopped(StopReason::Saved)]
        })
    }

    async fn discard_saved(&self, id: DomainId) -> Result<(), DriverError> {
        self.verb_if_there(Operation::DiscardSaved, id, |domain| {
            domain.info.has_managed_save = false;
            Vec::new()
        })
    }

    async fn reset(&self, id: DomainId) -> Result<(), DriverError> {
        self.verb(Operation::Reset, id, true, |_| vec![DomainEvent::Rebooted])
    }

    async fn nmi(&self, id: DomainId) -> Result<(), DriverError> {
        self.verb(Operation::Nmi, id, true, |_| Vec::new())
    }

    async fn plug(&self, id: DomainId, nic: &Nic, _: Datapath) -> Result<(), DriverError> {
        let port = nic.port.parse().unwrap();
        self.verb(Operation::Plug, id, false, |domain| {
            if domain.info.state.is_active() {
                domain.info.plugged_nics.insert(port);
            }
            domain.info.defined_nics.insert(port);
            Vec::new()
        })
    }

    async fn unplug(&self, id: DomainId, port: PortId) -> Result<(), DriverError> {
        self.verb(Operation::Unplug, id, false, |domain| {
            if !domain.info.plugged_nics.contains(&port) {
                domain.info.defined_nics.remove(&port);
                return Vec::new();
            }
            let hears = domain.lets_go && domain.info.state == DomainState::Running;
            if hears {
                domain.info.plugged_nics.remove(&port);
            }
            hears
                .then_some(DomainEvent::Unplugged)
                .into_iter()
                .collect()
        })
    }

    async fn host(&self) -> Result<HostFacts, DriverError> {
        self.enter(Operation::Host, Subject::Host)?;
        Ok(self.host.clone())
    }

    fn events(&self) -> Events {
        Events::new(self.events.subscribe())
    }
}

mod tests {
    use crate::node::plan::capabilities::Host;

    use super::*;

    const ID: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";

    fn fake() -> Fake {
        Fake::new(HostFacts {
            host: Host {
                architecture: "x86_64".into(),
                cpu: crate::api::hypervisor::HostCpu::default(),
                numa: Vec::new(),
                vcpus: 1,
                memory: crate::api::value::Size::gib(1),
                virt_types: vec![crate::api::hypervisor::VirtType::Qemu],
                machines: Vec::new(),
                qemu_user: None,
            },
            virt_type: crate::api::hypervisor::VirtType::Qemu,
            offers: crate::api::hypervisor::Offers::default(),
            libvirt_version: "9.0.0".into(),
            qemu_version: "7.2.22".into(),
        })
    }

    #[tokio::test]
    async fn it_reads_our_mark_as_libvirt_does() {
        let (fake, id) = (fake(), ID.parse().unwrap());
        let xml = include_str!("../../tests/golden/domain/bios-q35.xml");
        fake.define(id, xml).await.unwrap();
        fake.start(id).await.unwrap();
        let info = fake.find(id).await.unwrap().unwrap();
        assert_eq!(info.mark.as_ref().map(|mark| mark.epoch), Some(1));
        assert_eq!(info.running_mark, info.mark);
        assert_eq!(fake.list().await.unwrap(), [info]);
    }

    #[tokio::test]
    async fn it_fails_as_told_and_then_works() {
        let (fake, id) = (fake(), ID.parse().unwrap());
        fake.fail_next(Operation::Destroy, Failure::GiveUp);
        let failed = fake.destroy(id).await.unwrap_err();
        assert_eq!(failed.kind, Failure::GiveUp);
        assert_eq!(failed.to_string(), format!("could not destroy domain {ID}"));
        fake.destroy(id).await.unwrap();
        fake.set_reachable(false);
        let unknown = fake.find(id).await.unwrap_err();
        assert_eq!(unknown.kind, Failure::Unreachable);
    }
}
