use super::*;
use crate::node::{
    driver::PauseReason,
    plan::{
        decide,
        fixtures::{at, bare, built, domain, guest, image, sees},
    },
};

fn told(guest: &Guest, observed: &decide::Observed, after: DomainState) -> GuestStatus {
    let decision = decide::decide(guest, observed, at(0));
    let progress = Progress {
        done: decision.steps.clone(),
        failure: None,
        switch: None,
        guarded: Guarded::default(),
    };
    report(
        guest,
        &observed.files,
        &decision,
        &progress,
        &Sight::Present(domain(after)),
        None,
        at(0),
    )
}

fn words(status: &GuestStatus) -> Vec<String> {
    status
        .conditions
        .iter()
        .map(|c| format!("{} {} {}", c.type_, c.status, c.reason))
        .collect()
}

#[test]
fn a_guest_that_was_started_is_ready_and_says_when() {
    let status = told(
        &guest(),
        &sees(DomainState::Shutoff(StopReason::Unknown)),
        DomainState::Running,
    );
    assert_eq!(
        words(&status),
        [
            "Ready True AsAsked",
            "StorageReady True Built",
            "NetworkReady True NoNics",
            "Running True Running",
            "Stalled False Progressing"
        ]
    );
    assert_eq!(
        (status.started_at, status.restarts),
        (Some(Time(at(0))), Some(0))
    );
}

#[test]
fn a_restart_is_counted() {
    let guest = guest().was(PowerState::Running);
    let status = told(
        &guest,
        &sees(DomainState::Shutoff(StopReason::Crashed)),
        DomainState::Running,
    );
    assert_eq!(status.restarts, Some(1));
}

#[test]
fn a_restart_that_failed_is_still_a_restart_the_next_time() {
    let off = DomainState::Shutoff(StopReason::Failed);
    let guest = guest().was(PowerState::Running);
    let decision = decide::decide(
        &guest,
        &sees(DomainState::Shutoff(StopReason::Crashed)),
        at(0),
    );
    let failure = StepFailure {
        step: Step::Restart,
        part: Part::Hypervisor,
        hopeless: false,
        message: "no".to_owned(),
    };
    let progress = Progress {
        done: vec![],
        failure: Some(failure),
        switch: None,
        guarded: Guarded::default(),
    };
    let status = report(
        &guest,
        &built().files,
        &decision,
        &progress,
        &sees(off).domain,
        None,
        at(0),
    );
    let again = decide::decide(&guest.reported(status), &sees(off), at(9));
    assert_eq!(again.steps, [Step::Restart]);
}

#[test]
fn what_somebody_must_mend_is_stalled_with_its_reason() {
    let refused = Presence::Refused {
        message: "it has a backing file".to_owned(),
        retry_after: None,
    };
    let guest = guest();
    let decision = decide::decide(&guest, &bare(refused), at(0));
    let status = report(
        &guest,
        &built().files,
        &decision,
        &Progress::default(),
        &Sight::Absent,
        None,
        at(0),
    );
    let stalled = condition::find(&status.conditions, "Stalled").unwrap();
    assert_eq!(
        (&*stalled.status, &*stalled.reason),
        ("True", "ImageRefused")
    );
    assert_eq!(stalled.message, "image public/tiny: it has a backing file");
}

#[test]
fn equal_facts_make_an_equal_status_whenever_they_are_told() {
    let running = sees(DomainState::Running);
    let first = told(&guest(), &running, DomainState::Running);
    let guest = guest().reported(first.clone());
    let decision = decide::decide(&guest, &running, at(99));
    let again = report(
        &guest,
        &built().files,
        &decision,
        &Progress::default(),
        &running.domain,
        None,
        at(99),
    );
    assert_eq!(again, first);
}

#[test]
fn a_silent_hypervisor_leaves_what_was_known_of_the_guest() {
    let guest = guest().was(PowerState::Running);
    let silent = decide::Observed {
        domain: Sight::Unknown("away".to_owned()),
        ..sees(DomainState::Running)
    };
    let decision = decide::decide(&guest, &silent, at(0));
    let status = report(
        &guest,
        &built().files,
        &decision,
        &Progress::default(),
        &silent.domain,
        None,
        at(0),
    );
    assert_eq!(status.power, Some(PowerState::Running));
    assert_eq!(words(&status)[3], "Running Unknown HypervisorSilent");
}

#[test]
fn a_full_disk_does_not_make_a_guest_seem_to_run_now_and_then() {
    let mut observed = sees(DomainState::Paused(PauseReason::IoError));
    let first = told(&guest(), &observed, DomainState::Running);
    assert_eq!(first.power, Some(PowerState::Paused));
    assert_eq!(words(&first)[3], "Running False StorageFailed");
    let guest = guest().reported(first.clone());
    observed.recent.revived_at = Some(at(0));
    for state in [
        DomainState::Running,
        DomainState::Paused(PauseReason::IoError),
    ] {
        let recent = observed.recent.clone();
        let observed = decide::Observed {
            recent,
            ..sees(state)
        };
        assert_eq!(told(&guest, &observed, state), first, "{state:?}");
    }
}

#[test]
fn the_grace_goes_on_whatever_the_guest_waits_for() {
    let guest = guest().shall(PowerState::Stopped).stopping_since(at(-30));
    let ending = DomainState::ShuttingDown;
    assert_eq!(
        told(&guest, &sees(ending), ending).stopping_since,
        Some(Time(at(-30)))
    );
    let saving = DomainState::Paused(PauseReason::Saving);
    assert_eq!(
        told(&guest, &sees(saving), saving).stopping_since,
        Some(Time(at(-30)))
    );
    let guest = guest.shall(PowerState::Running);
    assert_eq!(told(&guest, &sees(ending), ending).stopping_since, None);
}

#[test]
fn the_time_of_asking_is_kept_until_the_guest_is_off() {
    let guest = guest().shall(PowerState::Stopped);
    let asked = told(&guest, &sees(DomainState::Running), DomainState::Running);
    assert_eq!(asked.stopping_since, Some(Time(at(0))));
    let guest = guest.reported(asked);
    let off = DomainState::Shutoff(StopReason::Shutdown);
    assert_eq!(told(&guest, &sees(off), off).stopping_since, None);
}

fn after(guest: &Guest, observed: &decide::Observed, progress: &Progress) -> GuestStatus {
    let decision = decide::decide(guest, observed, at(0));
    report(
        guest,
        &observed.files,
        &decision,
        progress,
        &observed.domain,
        None,
        at(0),
    )
}

#[test]
fn a_lost_disk_is_told_with_its_path_and_what_to_do() {
    let lost = bare(image());
    let status = after(&guest().has_run(), &lost, &Progress::default());
    let expected = [
        "Ready False LostDisk",
        "StorageReady False LostDisk",
        "NetworkReady True NoNics",
        "Running False NotBuilt",
        "Stalled True LostDisk",
    ];
    assert_eq!(words(&status), expected);
    let ready = condition::find(&status.conditions, "Ready").unwrap();
    for words in ["/guests/it/root.qcow2", "mounted", "delete the server"] {
        assert!(ready.message.contains(words), "{}", ready.message);
    }
}

#[test]
fn whether_the_disk_is_there_is_said_only_when_it_is_known() {
    let mut observed = sees(DomainState::Running);
    observed.files.root_disk = decide::Found::Unknown("an I/O error".to_owned());
    let status = after(&guest(), &observed, &Progress::default());
    assert_eq!(words(&status)[1], "StorageReady Unknown DiskUnknown");
    observed.files.root_disk = decide::Found::No;
    let status = after(&guest().has_run(), &observed, &Progress::default());
    assert_eq!(words(&status)[1], "StorageReady False LostDisk");
}

#[test]
fn what_failed_is_called_by_its_name() {
    let table = [
        (Part::Hypervisor, "Ready False HypervisorFailed"),
        (Part::Disk, "Ready False DiskFailed"),
        (Part::Cluster, "Ready False ClusterFailed"),
    ];
    for (part, expected) in table {
        for hopeless in [false, true] {
            let failure = StepFailure {
                step: Step::Define,
                part,
                hopeless,
                message: "no".to_owned(),
            };
            let progress = Progress {
                done: vec![],
                failure: Some(failure),
                switch: None,
                guarded: Guarded::default(),
            };
            let status = after(&guest(), &built(), &progress);
            assert_eq!(words(&status)[0], expected);
        }
    }
}

#[test]
fn saved_memory_that_is_of_no_use_any_more_has_a_way_out() {
    let mut observed = sees(DomainState::Shutoff(StopReason::Saved));
    if let Sight::Present(domain) = &mut observed.domain {
        domain.has_managed_save = true;
    }
    let failure = StepFailure {
        step: Step::Start,
        part: Part::Hypervisor,
        hopeless: false,
        message: "the CPU is another one".to_owned(),
    };
    let progress = Progress {
        done: vec![],
        failure: Some(failure),
        switch: None,
        guarded: Guarded::default(),
    };
    let status = after(&guest(), &observed, &progress);
    let ready = condition::find(&status.conditions, "Ready").unwrap();
    let expected = "set spec.powerState to Stopped, which throws it away";
    assert!(ready.message.contains(expected), "{}", ready.message);
}

#[test]
fn what_an_administrator_must_mend_says_so() {
    let mut observed = bare(image());
    observed.files.documents = decide::Papers::Forbidden;
    let status = after(&guest(), &observed, &Progress::default());
    assert_eq!(words(&status)[4], "Stalled True SeedForbidden");
    let observed = decide::Observed {
        wanted: Err("no".to_owned()),
        ..built()
    };
    let status = after(&guest(), &observed, &Progress::default());
    assert_eq!(words(&status)[4], "Stalled True NoDefinition");
}
