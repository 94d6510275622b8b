//! `<devices>`: everything that is plugged in, in the order in which the guest finds it.
//!
//! What is not here on purpose: graphics, sound, USB and tablets. Each is code that a hostile guest could attack,
//! and no server needs them yet.

use serde::Serialize;

use crate::api::guest::GuestSpec;

use super::{
    DomainLayout,
    console::{Channel, Serial},
    controller::Controller,
    disk::Disk,
    interface::Interface,
    memory::Balloon,
    panic::Panic,
    rng::Rng,
    tpm::Tpm,
};

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Devices {
    disk: Vec<Disk>,
    interface: Vec<Interface>,
    controller: Vec<Controller>,
    serial: Serial,
    channel: Channel,
    #[serde(skip_serializing_if = "Option::is_none")]
    tpm: Option<Tpm>,
    memballoon: Balloon,
    rng: Rng,
    panic: Panic,
}

impl Devices {
    pub(super) fn of(guest: &GuestSpec, layout: &DomainLayout) -> Self {
        Self {
            disk: vec![Disk::root(layout), Disk::seed(layout)],
            interface: guest
                .nics
                .iter()
                .map(|nic| Interface::of(nic, layout.datapath))
                .collect(),
            controller: Controller::of(guest.machine),
            serial: Serial::logged(layout),
            channel: Channel::guest_agent(),
            tpm: guest.tpm.then(|| Tpm::on(guest.machine)),
            memballoon: Balloon::reporting(),
            rng: Rng::limited(),
            panic: Panic::reported(),
        }
    }
}
