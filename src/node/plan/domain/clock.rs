//! `<clock>`: the hardware clock runs in UTC; timers that lose ticks catch up in the way each guest copes with.

use serde::Serialize;

use crate::api::hypervisor::VirtType;

use super::Choice;

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    #[serde(rename = "@offset")]
    offset: &'static str,
    timer: Vec<Timer>,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Timer {
    #[serde(rename = "@name")]
    name: &'static str,
    #[serde(rename = "@tickpolicy", skip_serializing_if = "Option::is_none")]
    tick_policy: Option<&'static str>,
    #[serde(rename = "@present", skip_serializing_if = "Option::is_none")]
    present: Option<Choice>,
}

impl Clock {
    pub(super) fn of(virt_type: VirtType) -> Self {
        let mut timer = vec![
            // What libvirt's and QEMU's documentation recommend: replay lost ticks of the clock chip, which old
            // guests count, but deliver the interval timer's late; and no HPET, which costs an exit for each read.
            Timer::ticking("rtc", "catchup"),
            Timer::ticking("pit", "delay"),
            Timer::present("hpet", Choice::No),
        ];
        match virt_type {
            VirtType::Kvm => timer.push(Timer::present("kvmclock", Choice::Yes)),
            VirtType::Qemu => {}
        }
        Self {
            offset: "utc",
            timer,
        }
    }
}

impl Timer {
    fn ticking(name: &'static str, policy: &'static str) -> Self {
        Self {
            name,
            tick_policy: Some(policy),
            present: None,
        }
    }

    fn present(name: &'static str, present: Choice) -> Self {
        Self {
            name,
            tick_policy: None,
            present: Some(present),
        }
    }
}
