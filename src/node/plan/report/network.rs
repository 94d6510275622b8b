//! Whether the guest's NICs are plugged in, and no others.

use crate::{
    api::{condition::Fact, guest::Guest},
    node::{
        driver::{DomainInfo, PortId},
        plan::{
            decide::{self, Sight, Step},
            guard::{self, Guarded},
        },
    },
};

use super::{Progress, explained};

const KIND: &str = "NetworkReady";

/// The NICs that a domain has now, or will have when it is started.
pub(super) fn nics(after: &Sight, before: &[String]) -> Vec<String> {
    match after {
        Sight::Unknown(_) => before.to_vec(),
        Sight::Absent => Vec::new(),
        Sight::Present(domain) => has(domain).map(|port| port.to_string()).collect(),
    }
}

fn has(domain: &DomainInfo) -> impl Iterator<Item = PortId> {
    let nics = if domain.state.is_active() {
        &domain.plugged_nics
    } else {
        &domain.defined_nics
    };
    nics.iter().copied()
}

/// What `NetworkReady` says.
pub(super) fn network(guest: &Guest, progress: &Progress, after: &Sight) -> Fact {
    let domain = match after {
        Sight::Unknown(why) => return Fact::unknown(KIND, "HypervisorSilent", why.clone()),
        Sight::Absent if guest.spec.nics.is_empty() => return none(),
        Sight::Absent => return Fact::no(KIND, "NotBuilt", "there is no domain yet"),
        Sight::Present(domain) => domain,
    };
    let has: Vec<PortId> = has(domain).collect();
    let wanted: Vec<PortId> = decide::wanted(guest).collect();
    let missing = guest.spec.nics.iter().filter(|nic| {
        let port = nic.port.parse();
        !port.is_ok_and(|port| has.contains(&port))
    });
    let missing: Vec<&str> = missing.map(|nic| nic.name.as_str()).collect();
    let extra = has.iter().filter(|port| !wanted.contains(port));
    let extra: Vec<String> = extra.map(ToString::to_string).collect();
    let plugging = progress.failure.as_ref().filter(|failure| {
        let of_nic = matches!(failure.step, Step::Plug(_) | Step::Unplug(_));
        of_nic && (!missing.is_empty() || !extra.is_empty())
    });
    if let Some(failure) = plugging {
        let message = format!("{}; it is tried again", explained(failure, progress, after));
        return Fact::no(KIND, "PlugFailed", message);
    }
    if domain.has_managed_save && (!missing.is_empty() || !extra.is_empty()) {
        let message = "its memory was saved with other NICs than it shall have: they change when it runs again";
        return Fact::no(KIND, "Suspended", message);
    }
    if !extra.is_empty() {
        return Fact::no(KIND, "UnplugPending", unheard(&extra));
    }
    if !missing.is_empty() {
        let message = format!("not plugged in yet: port {}", missing.join(", port "));
        return Fact::no(KIND, "PlugPending", message);
    }
    if has.is_empty() {
        return none();
    }
    if domain.state.is_active()
        && let Some(fact) = unguarded(guest, &progress.guarded)
    {
        return fact;
    }
    Fact::yes(KIND, "Plugged", "the NICs are plugged in")
}

/// That the guest could play router on a port where it may not.
fn unguarded(guest: &Guest, guarded: &Guarded) -> Option<Fact> {
    let lacking = guard::secured(guest).filter(|(port, _)| !guarded.ports.contains(port));
    let lacking: Vec<&str> = lacking.map(|(_, name)| name).collect();
    if lacking.is_empty() {
        return None;
    }
    let ports = lacking.join(", port ");
    Some(match &guarded.trouble {
        Some(trouble) => Fact::no(KIND, "Unguarded", format!("port {ports}: {trouble}")),
        None => Fact::no(
            KIND,
            "GuardPending",
            format!("the host's switch does not drop router advertisements of port {ports} yet"),
        ),
    })
}

fn none() -> Fact {
    Fact::yes(KIND, "NoNics", "the guest has no NICs, and shall have none")
}

fn unheard(ports: &[String]) -> String {
    format!(
        "the guest has not let go of the NIC of the port with UID {}: it is asked again every {} s; one whose system does \
         not listen lets go when it is powered off",
        ports.join(", "),
        decide::UNPLUG_AGAIN.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{
        driver::{DomainState, StopReason},
        plan::{
            fixtures::{guest, has_nics, port},
            report::{Part, StepFailure},
        },
    };

    fn said(wanted: &[u8], domain: DomainInfo, progress: &Progress) -> (String, String) {
        let guest = guest().with_nics(wanted);
        let fact = network(&guest, progress, &Sight::Present(domain));
        (
            format!("{} {}", fact.truth.as_str(), fact.reason),
            fact.message,
        )
    }

    /// That these ports are guarded.
    fn guarded(numbers: &[u8]) -> Progress {
        let guarded = Guarded {
            ports: numbers.iter().copied().map(port).collect(),
            trouble: None,
        };
        Progress {
            guarded,
            ..Progress::default()
        }
    }

    fn simply(wanted: &[u8], domain: DomainInfo) -> String {
        said(wanted, domain, &guarded(&[1])).0
    }

    #[test]
    fn a_guest_that_could_play_router_is_not_ready_and_says_why() {
        let running = || has_nics(DomainState::Running, &[1, 2], &[1, 2]);
        let (what, message) = said(&[1, 2], running(), &guarded(&[1]));
        assert_eq!(what, "False GuardPending");
        assert_eq!(
            message,
            "the host's switch does not drop router advertisements of port web-1-net2 yet"
        );
        let mut progress = guarded(&[1]);
        progress.guarded.trouble = Some("it cannot be told to".to_owned());
        let (what, message) = said(&[1, 2], running(), &progress);
        assert_eq!(what, "False Unguarded");
        assert_eq!(message, "port web-1-net2: it cannot be told to");
        assert_eq!(
            said(&[1, 2], running(), &guarded(&[1, 2])).0,
            "True Plugged"
        );
        // One that is off sends nothing.
        let off = DomainState::Shutoff(StopReason::Shutdown);
        let off = has_nics(off, &[1, 2], &[]);
        assert_eq!(said(&[1, 2], off, &progress).0, "True Plugged");
        // On a port without port security a guest may be a router.
        let mut router = guest().with_nics(&[1, 2]);
        router.spec.nics[1].port_security = false;
        let fact = network(&router, &progress, &Sight::Present(running()));
        assert_eq!(fact.reason, "Plugged");
    }

    #[test]
    fn it_holds_when_the_nics_are_those_that_are_asked_for() {
        let running = DomainState::Running;
        assert_eq!(simply(&[], has_nics(running, &[], &[])), "True NoNics");
        assert_eq!(simply(&[1], has_nics(running, &[1], &[1])), "True Plugged");
        assert_eq!(
            simply(&[1], has_nics(running, &[1], &[])),
            "False PlugPending"
        );
        assert_eq!(
            simply(&[], has_nics(running, &[], &[1])),
            "False UnplugPending"
        );
        let off = DomainState::Shutoff(StopReason::Shutdown);
        assert_eq!(simply(&[1], has_nics(off, &[1], &[])), "True Plugged");
        let mut saved = has_nics(off, &[1], &[]);
        saved.has_managed_save = true;
        assert_eq!(simply(&[2], saved), "False Suspended");
    }

    #[test]
    fn a_nic_that_could_not_be_plugged_in_says_what_the_switch_lacks() {
        let failure = StepFailure {
            step: Step::Plug(port(1)),
            part: Part::Hypervisor,
            hopeless: false,
            message: "could not plug".to_owned(),
        };
        let progress = Progress {
            failure: Some(failure),
            switch: Some("there is no br-int".to_owned()),
            ..Progress::default()
        };
        let domain = has_nics(DomainState::Running, &[], &[]);
        let (what, message) = said(&[1], domain, &progress);
        assert_eq!(what, "False PlugFailed");
        assert_eq!(
            message,
            "could not plug; the guest has NICs, and there is no br-int; it is tried again"
        );
    }

    #[test]
    fn what_is_plugged_in_is_told_and_is_not_forgotten_while_nobody_answers() {
        let running = Sight::Present(has_nics(DomainState::Running, &[1, 2], &[2]));
        let told = nics(&running, &[]);
        assert_eq!(told, [port(2).to_string()]);
        assert_eq!(nics(&Sight::Unknown("away".to_owned()), &told), told);
        assert!(nics(&Sight::Absent, &told).is_empty());
    }
}
