//! What the agent asks of a hypervisor: one narrow trait, and the words it is spoken in.
//!
//! The agent's controller knows only this file; libvirt stands behind it in production (`node::libvirt`), a fake in
//! tests (`node::fake`). It must never name libvirt's own types, and must never decide anything: what a guest shall
//! do is the business of `node::plan`.
//!
//! Guarantees of every verb:
//! - It may be called again at any time: a goal that is already reached is `Ok`.
//! - It returns within a bounded time. A verb that ran into its time limit may still take effect later, so look
//!   again rather than assume.
//! - Verbs on one domain never wait for verbs on another, but for a bound on how many run at once.
//! - An error says what kind of failure it was. That a domain is *absent* is an answer (`Ok(None)`), never an error;
//!   that nothing is *known* is an error, never an answer.

mod domain;
mod event;
mod failure;

use crate::api::guest::Nic;
use crate::node::plan::domain::Datapath;

use super::plan::capabilities::HostFacts;

pub use self::{
    domain::{DomainId, DomainIdError, DomainInfo, DomainState, PauseReason, PortId, StopReason},
    event::{DomainEvent, DriverEvent, Events},
    failure::{DriverError, Failure, Observer, Operation, Outcome, Subject},
};

/// What becomes of what a guest has written outside its disks, UEFI variables and the state of its TPM: without them a
/// disk that is encrypted by help of the TPM is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftovers {
    /// They go.
    Remove,
    /// They stay, and are found again by whoever defines the domain anew.
    Keep,
}

/// A hypervisor, as the agent's controller sees it.
pub trait Driver: Send + Sync + 'static {
    /// Every domain that carries our mark, whatever its state. Domains of others are not in it.
    fn list(&self) -> impl Future<Output = Result<Vec<DomainInfo>, DriverError>> + Send;

    /// One domain, marked or not; `None` when there certainly is none.
    fn find(
        &self,
        id: DomainId,
    ) -> impl Future<Output = Result<Option<DomainInfo>, DriverError>> + Send;

    /// Makes `xml` the definition of the domain. A running domain takes it up at its next start.
    fn define(
        &self,
        id: DomainId,
        xml: &str,
    ) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Removes the definition and what the hypervisor keeps beside it: saved memory, what it knows of snapshots and
    /// checkpoints, and the guest's `leftovers` unless they are kept. Disks stay. A domain that is not off is refused.
    fn undefine(
        &self,
        id: DomainId,
        leftovers: Leftovers,
    ) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Starts the domain, from its saved memory if it has some.
    fn start(&self, id: DomainId) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Presses the power button. Returns at once; the guest may take its time, or not listen at all.
    ///
    /// There is no verb that asks for a reboot: libvirt's own (9.0) loses the guest where lockd locks disks, and reboots
    /// a guest that ignored the button whenever that powers itself off later. Ask for the shutdown, then start.
    fn ask_shutdown(&self, id: DomainId) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Cuts the domain off. Its definition stays.
    fn destroy(&self, id: DomainId) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Stops the guest's processors; its memory stays.
    fn pause(&self, id: DomainId) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Lets a paused guest go on.
    fn resume(&self, id: DomainId) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Saves the guest's memory to the hypervisor's disk and ends it. The next `start` goes on from there.
    fn suspend_to_disk(&self, id: DomainId)
    -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Throws saved memory away, so that the next `start` boots.
    fn discard_saved(&self, id: DomainId) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Presses the reset button. Each call presses it anew.
    fn reset(&self, id: DomainId) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Sends the guest a non-maskable interrupt. Each call sends another.
    fn nmi(&self, id: DomainId) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Plugs a NIC in, into what runs and into the definition.
    fn plug(
        &self,
        id: DomainId,
        nic: &Nic,
        datapath: Datapath,
    ) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Plugs a NIC out. Of what runs it is only asked for: the guest may take its time, or not listen at all, and
    /// `DomainEvent::Unplugged` tells when it has let go. It leaves the definition once nothing runs that has it.
    fn unplug(
        &self,
        id: DomainId,
        port: PortId,
    ) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// What the host has and offers.
    fn host(&self) -> impl Future<Output = Result<HostFacts, DriverError>> + Send;

    /// What happens from now on. Events are hints: whoever hears one looks with `find`.
    fn events(&self) -> Events;
}
