//! Guests that end by themselves: started again or left off, as their restart policy says, and never in a hot loop.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kilonova::api::server::{PowerState, RestartPolicy, Server, ServerState};

use crate::shared::{Project, SOON, inline, message_of, stays};

/// A guest that powers itself off as soon as it has come up for the first time of its boot.
const SUICIDE: &str = "#!/bin/sh\n(sleep 4; poweroff -f) &\n";
/// How long a guest must stay off to be believed.
const QUIET: Duration = Duration::from_secs(5);
/// So many ends are enough for some of them to come quickly, one after the other.
const KILLS_MAX: i64 = 12;

#[tokio::test]
async fn a_guest_whose_qemu_is_killed_runs_again() -> Result<()> {
    let project = Project::shared().await?;
    let (guest, _) = project.boot("web", |_| {}).await?;
    for restart in 1..=2 {
        let killed = guest.kill_qemu().await?;
        wait_restarts(&project, "web", restart).await?;
        assert_ne!(guest.qemu().context("it has a QEMU")?, killed);
    }
    let server = project.wait_state("web", ServerState::Active).await?;
    let report = guest.wait_up(2).await?;
    ensure!(
        report.boot_counts.first() == Some(&1) && report.boot_counts.len() >= 2,
        "{:?}",
        report.boot_counts
    );
    let events = project.events_of(&server).await?;
    ensure!(
        events.iter().any(|event| event == "Restarted"),
        "its owner was not told: {events:?}"
    );
    project.delete_all_of("web", &guest).await
}

/// Waits until so many restarts are counted: then the newest QEMU runs, and may be killed.
async fn wait_restarts(project: &Project<'_>, name: &str, count: i64) -> Result<()> {
    let what = format!("to count {count} restarts");
    project
        .wait(name, &what, SOON, |server| {
            restarts_of(server) == Some(count)
        })
        .await?;
    Ok(())
}

fn restarts_of(server: &Server) -> Option<i64> {
    server.status.as_ref()?.restarts
}

#[tokio::test]
async fn a_guest_that_fails_is_restarted_on_failure_and_one_that_powers_off_is_not() -> Result<()> {
    let project = Project::shared().await?;
    let (guest, _) = project
        .boot("web", |spec| spec.restart_policy = RestartPolicy::OnFailure)
        .await?;
    let killed = guest.kill_qemu().await?;
    guest.wait_new_qemu(killed, SOON).await?;
    project.wait_state("web", ServerState::Active).await?;
    project.delete("web").await?;

    project
        .make("done", |spec| {
            spec.restart_policy = RestartPolicy::OnFailure;
            spec.user_data = Some(inline(SUICIDE));
        })
        .await?;
    let server = project
        .wait_words(
            "done",
            "Ready",
            false,
            &["powered itself off", "spec.restartPolicy"],
        )
        .await?;
    let status = server.status.as_ref().context("no status")?;
    assert_eq!(status.state, Some(ServerState::Shutoff));
    assert_eq!(status.restarts, Some(0));
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Ready");
    assert_eq!(ready.context("no Ready")?.reason, "Ended");
    let guest = crate::shared::GuestOnNode::of(project.testbed, &server)?;
    stays("it is left off", QUIET, async || Ok(!guest.any_qemu()?)).await?;

    // Its owner wants it all the same.
    project.power("done", PowerState::Stopped).await?;
    project.wait_state("done", ServerState::Shutoff).await?;
    project.power("done", PowerState::Running).await?;
    guest.wait_up(2).await?;
    project.delete_all_of("done", &guest).await
}

#[tokio::test]
async fn a_guest_that_is_never_restarted_stays_off_until_its_owner_asks() -> Result<()> {
    let project = Project::shared().await?;
    let (guest, _) = project
        .boot("once", |spec| spec.restart_policy = RestartPolicy::Never)
        .await?;
    guest.kill_qemu().await?;
    let server = project
        .wait_words("once", "Running", false, &["QEMU was killed"])
        .await?;
    ensure!(
        message_of(&server, "Ready").contains("set spec.powerState to Stopped and back"),
        "{}",
        message_of(&server, "Ready")
    );
    stays("it is left off", QUIET, async || Ok(!guest.any_qemu()?)).await?;
    project.power("once", PowerState::Stopped).await?;
    project.wait_state("once", ServerState::Shutoff).await?;
    project.power("once", PowerState::Running).await?;
    project.wait_state("once", ServerState::Active).await?;
    let report = guest.wait_up(2).await?;
    assert_eq!(report.boot_counts, [1, 2]);
    project.delete_all_of("once", &guest).await
}

#[tokio::test]
async fn a_guest_that_keeps_failing_is_started_less_and_less_often() -> Result<()> {
    let project = Project::shared().await?;
    let (guest, _) = project.boot("sick", |_| {}).await?;
    // Three quick ends in a row are forgiven; on a busy machine the first ones may not have been quick.
    let mut kills = 0;
    let pause = loop {
        kills += 1;
        ensure!(
            kills <= KILLS_MAX,
            "{KILLS_MAX} times it was started again at once"
        );
        let killed = Instant::now();
        guest.kill_qemu().await?;
        let what = format!("to say that it keeps failing, or to count {kills} restarts");
        let says_so = |server: &Server| message_of(server, "Running").contains("keeps failing");
        let seen = project.wait("sick", &what, SOON, |server| {
            says_so(server) || restarts_of(server) == Some(kills)
        });
        if says_so(&seen.await?) {
            wait_restarts(&project, "sick", kills).await?;
            break killed.elapsed();
        }
    };
    ensure!(
        pause >= Duration::from_secs(1),
        "it said so, and was started again after {pause:?}"
    );
    project.wait_state("sick", ServerState::Active).await?;
    let writes = project.writes_about(&guest.uid)?;
    let writes_max = usize::try_from(kills)? * 20;
    ensure!(writes < writes_max, "{writes} writes for {kills} restarts");
    project.delete_all_of("sick", &guest).await
}
