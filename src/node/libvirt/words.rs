//! libvirt's numbers → our words. Pure.
//!
//! A number that is not known here, from a newer libvirt, becomes the least specific word.

use virt_sys as sys;

use crate::node::driver::{DomainEvent, DomainState, PauseReason, StopReason};

/// A state and its reason, from `virDomainGetState`.
pub(super) fn state(state: sys::virDomainState, reason: i32) -> DomainState {
    let reason = reason.cast_unsigned();
    match state {
        sys::VIR_DOMAIN_RUNNING | sys::VIR_DOMAIN_BLOCKED => DomainState::Running,
        sys::VIR_DOMAIN_PAUSED => DomainState::Paused(pause_reason(reason)),
        sys::VIR_DOMAIN_SHUTDOWN => DomainState::ShuttingDown,
        sys::VIR_DOMAIN_SHUTOFF => DomainState::Shutoff(stop_reason(reason)),
        // Still there, for somebody to look at; our definitions do not ask for that.
        sys::VIR_DOMAIN_CRASHED => DomainState::Paused(PauseReason::Crashed),
        // Asleep by the guest's own will (which our definitions forbid), or no state at all (which QEMU never has).
        _ => DomainState::Paused(PauseReason::Other),
    }
}

fn pause_reason(reason: u32) -> PauseReason {
    match reason {
        sys::VIR_DOMAIN_PAUSED_USER => PauseReason::User,
        sys::VIR_DOMAIN_PAUSED_IOERROR => PauseReason::IoError,
        sys::VIR_DOMAIN_PAUSED_STARTING_UP => PauseReason::StartingUp,
        sys::VIR_DOMAIN_PAUSED_SAVE
        | sys::VIR_DOMAIN_PAUSED_DUMP
        | sys::VIR_DOMAIN_PAUSED_SNAPSHOT => PauseReason::Saving,
        sys::VIR_DOMAIN_PAUSED_MIGRATION
        | sys::VIR_DOMAIN_PAUSED_POSTCOPY
        | sys::VIR_DOMAIN_PAUSED_POSTCOPY_FAILED => PauseReason::Migrating,
        sys::VIR_DOMAIN_PAUSED_CRASHED => PauseReason::Crashed,
        _ => PauseReason::Other,
    }
}

fn stop_reason(reason: u32) -> StopReason {
    match reason {
        sys::VIR_DOMAIN_SHUTOFF_SHUTDOWN => StopReason::Shutdown,
        sys::VIR_DOMAIN_SHUTOFF_DESTROYED => StopReason::Destroyed,
        sys::VIR_DOMAIN_SHUTOFF_CRASHED => StopReason::Crashed,
        sys::VIR_DOMAIN_SHUTOFF_MIGRATED => StopReason::Migrated,
        sys::VIR_DOMAIN_SHUTOFF_SAVED => StopReason::Saved,
        // The daemon gave the domain up when it was restarted.
        sys::VIR_DOMAIN_SHUTOFF_FAILED | sys::VIR_DOMAIN_SHUTOFF_DAEMON => StopReason::Failed,
        _ => StopReason::Unknown,
    }
}

/// A lifecycle event and its detail; `None` for what is of no interest.
pub(super) fn lifecycle(event: i32, detail: i32) -> Option<DomainEvent> {
    let detail = detail.cast_unsigned();
    match event.cast_unsigned() {
        sys::VIR_DOMAIN_EVENT_DEFINED => Some(DomainEvent::Defined),
        sys::VIR_DOMAIN_EVENT_UNDEFINED => Some(DomainEvent::Undefined),
        sys::VIR_DOMAIN_EVENT_STARTED => Some(DomainEvent::Started),
        sys::VIR_DOMAIN_EVENT_SUSPENDED => Some(DomainEvent::Paused(pause_detail(detail))),
        sys::VIR_DOMAIN_EVENT_RESUMED => Some(DomainEvent::Resumed),
        sys::VIR_DOMAIN_EVENT_STOPPED => Some(DomainEvent::Stopped(stop_detail(detail))),
        sys::VIR_DOMAIN_EVENT_SHUTDOWN => Some(DomainEvent::ShuttingDown),
        sys::VIR_DOMAIN_EVENT_PMSUSPENDED => Some(DomainEvent::Paused(PauseReason::Other)),
        sys::VIR_DOMAIN_EVENT_CRASHED => Some(DomainEvent::Panicked),
        _ => None,
    }
}

fn pause_detail(detail: u32) -> PauseReason {
    match detail {
        sys::VIR_DOMAIN_EVENT_SUSPENDED_PAUSED => PauseReason::User,
        sys::VIR_DOMAIN_EVENT_SUSPENDED_IOERROR => PauseReason::IoError,
        sys::VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED
        | sys::VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY
        | sys::VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED => PauseReason::Migrating,
        _ => PauseReason::Other,
    }
}

fn stop_detail(detail: u32) -> StopReason {
    match detail {
        sys::VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN => StopReason::Shutdown,
        sys::VIR_DOMAIN_EVENT_STOPPED_DESTROYED => StopReason::Destroyed,
        // libvirt says "failed" of a QEMU that went without a word, and "crashed" of a guest that panicked; in
        // `virDomainGetState` both are "crashed". A failed start sends no event.
        sys::VIR_DOMAIN_EVENT_STOPPED_CRASHED | sys::VIR_DOMAIN_EVENT_STOPPED_FAILED => {
            StopReason::Crashed
        }
        sys::VIR_DOMAIN_EVENT_STOPPED_MIGRATED => StopReason::Migrated,
        sys::VIR_DOMAIN_EVENT_STOPPED_SAVED => StopReason::Saved,
        _ => StopReason::Unknown,
    }
}

/// Why a connection ended.
pub(super) fn close_reason(reason: i32) -> &'static str {
    match reason.cast_unsigned() {
        sys::VIR_CONNECT_CLOSE_REASON_ERROR => "an error on the connection",
        sys::VIR_CONNECT_CLOSE_REASON_EOF => "libvirtd closed the connection",
        sys::VIR_CONNECT_CLOSE_REASON_KEEPALIVE => "libvirtd gave no sign of life",
        sys::VIR_CONNECT_CLOSE_REASON_CLIENT => "the agent closed the connection",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_translated_with_their_reasons() {
        for (number, reason, expected) in [
            (1, 1, DomainState::Running),
            (2, 1, DomainState::Running),
            (3, 1, DomainState::Paused(PauseReason::User)),
            (3, 5, DomainState::Paused(PauseReason::IoError)),
            (3, 11, DomainState::Paused(PauseReason::StartingUp)),
            (3, 99, DomainState::Paused(PauseReason::Other)),
            (4, 0, DomainState::ShuttingDown),
            (5, 0, DomainState::Shutoff(StopReason::Unknown)),
            (5, 1, DomainState::Shutoff(StopReason::Shutdown)),
            (5, 3, DomainState::Shutoff(StopReason::Crashed)),
            (5, 5, DomainState::Shutoff(StopReason::Saved)),
            (5, -1, DomainState::Shutoff(StopReason::Unknown)),
        ] {
            assert_eq!(state(number, reason), expected, "{number} {reason}");
        }
    }

    #[test]
    fn a_killed_qemu_and_a_panicked_guest_are_both_crashes() {
        for detail in [2, 5] {
            assert_eq!(
                lifecycle(5, detail),
                Some(DomainEvent::Stopped(StopReason::Crashed))
            );
        }
        assert_eq!(
            lifecycle(5, 0),
            Some(DomainEvent::Stopped(StopReason::Shutdown))
        );
        assert_eq!(lifecycle(99, 0), None);
    }
}
