//! `ServerAction`: done once to the guest, kept as history with its times, and gone when it expires.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kilonova::api::server::{PowerState, ServerState};
use kilonova::api::server_action::{
    ActionState, Nmi, Reboot, RebootKind, Reset, ServerAction, ServerActionSpec,
};
use testbed::images::console::PowerButton;
use testbed::{Seen, wait_for};

use crate::lifecycle::DEAF;
use crate::shared::{BOOT, Project, SOON, grace, inline};

/// A record that nobody wants to keep. As a text, because people write `0s`, and kube `0ns`.
const NONE: &str = r#"
apiVersion: kilonova.dev/v1alpha1
kind: ServerAction
metadata: {name: none, namespace: PROJECT}
spec: {server: "off", nmi: {}, ttlAfterFinished: 0s}
"#;

fn action(name: &str, server: &str) -> ServerAction {
    let spec = ServerActionSpec {
        server: server.to_owned(),
        reboot: None,
        reset: None,
        nmi: None,
        ttl_after_finished: None,
    };
    ServerAction::new(name, spec)
}

pub fn reboot(name: &str, server: &str, kind: RebootKind) -> ServerAction {
    let mut action = action(name, server);
    action.spec.reboot = Some(Reboot { kind });
    action
}

fn reset(name: &str, server: &str) -> ServerAction {
    let mut action = action(name, server);
    action.spec.reset = Some(Reset {});
    action
}

fn nmi(name: &str, server: &str) -> ServerAction {
    let mut action = action(name, server);
    action.spec.nmi = Some(Nmi {});
    action
}

/// Waits until an action has ended so, and looks at its record.
async fn ended(
    project: &Project<'_>,
    name: &str,
    state: ActionState,
    words: &str,
) -> Result<ServerAction> {
    let actions = project.api::<ServerAction>();
    let action = wait_for(&format!("action {name} to end"), SOON * 2, async || {
        let action = actions.get(name).await?;
        let status = action.status.clone().unwrap_or_default();
        Ok(if status.state.is_some_and(ActionState::is_final) {
            Seen::Wanted(action)
        } else {
            Seen::NotYet(format!("{status:?}"))
        })
    })
    .await?;
    let status = action.status.as_ref().context("no status")?;
    let message = status.message.as_deref().unwrap_or_default();
    ensure!(
        status.state == Some(state) && message.contains(words),
        "{name}: {status:?}"
    );
    let finished = status.finished_at.as_ref().context("no finishedAt")?;
    if state == ActionState::Succeeded {
        let started = status.started_at.as_ref().context("no startedAt")?;
        ensure!(started.0 <= finished.0, "{status:?}");
        assert_eq!(status.verb, action.spec.verb());
    }
    Ok(action)
}

#[tokio::test]
async fn a_server_reboots_softly_and_hard() -> Result<()> {
    let project = Project::shared().await?;
    let (guest, _) = project.boot("web", |_| {}).await?;
    project
        .create(&reboot("soft", "web", RebootKind::Soft))
        .await?;
    ended(
        &project,
        "soft",
        ActionState::Succeeded,
        "powered off and was started again",
    )
    .await?;
    let report = guest.wait_up(2).await?;
    assert_eq!(report.boot_counts, [1, 2]);
    assert_eq!(report.power_buttons.last(), Some(&PowerButton::Heeded));
    project.wait_state("web", ServerState::Active).await?;
    let asked = guest.report().power_buttons.len();

    project
        .create(&reboot("hard", "web", RebootKind::Hard))
        .await?;
    ended(
        &project,
        "hard",
        ActionState::Succeeded,
        "cut off and started again",
    )
    .await?;
    let report = guest.wait_up(3).await?;
    assert_eq!(report.boot_counts, [1, 2, 3]);
    assert_eq!(
        report.power_buttons.len(),
        asked,
        "a hard reboot does not ask"
    );
    let server = project.wait_state("web", ServerState::Active).await?;
    let status = server.status.context("no status")?;
    assert_eq!(
        status.restarts,
        Some(0),
        "what its owner asked for is no restart"
    );
    // Both are history now.
    ended(&project, "soft", ActionState::Succeeded, "").await?;
    ended(&project, "hard", ActionState::Succeeded, "").await?;
    project.delete_all_of("web", &guest).await
}

#[tokio::test]
async fn a_server_is_reset_and_gets_an_nmi() -> Result<()> {
    let project = Project::shared().await?;
    let (guest, _) = project.boot("web", |_| {}).await?;
    let qemu = guest.qemu().context("it has a QEMU")?;
    project.create(&nmi("poke", "web")).await?;
    ended(
        &project,
        "poke",
        ActionState::Succeeded,
        "non-maskable interrupt",
    )
    .await?;
    guest
        .wait_report("the kernel to notice the NMI", SOON, |report| {
            report.nmis >= 1
        })
        .await?;
    project.create(&reset("reset", "web")).await?;
    ended(&project, "reset", ActionState::Succeeded, "was reset").await?;
    let report = guest.wait_up(2).await?;
    assert_eq!(report.boot_counts, [1, 2]);
    assert_eq!(guest.qemu(), Some(qemu), "a reset keeps the QEMU");
    project.delete_all_of("web", &guest).await
}

#[tokio::test]
async fn a_soft_reboot_that_is_ignored_becomes_hard_and_the_next_action_waits_for_it() -> Result<()>
{
    let project = Project::shared().await?;
    let (guest, _) = project
        .boot("deaf", |spec| {
            spec.user_data = Some(inline(DEAF));
            spec.shutdown = Some(grace(40));
        })
        .await?;
    project
        .create(&reboot("first", "deaf", RebootKind::Soft))
        .await?;
    let servers = project.wait("deaf", "to be in REBOOT", SOON, |server| {
        server.status.as_ref().and_then(|status| status.state) == Some(ServerState::Reboot)
    });
    servers.await?;
    // It comes while the guest is in its firmware, where a non-maskable interrupt would end it.
    project.create(&reset("second", "deaf")).await?;
    let actions = project.api::<ServerAction>();
    wait_for("the second action to wait", SOON, async || {
        let status = actions.get("second").await?.status.unwrap_or_default();
        let message = status.message.clone().unwrap_or_default();
        let waits = message.contains("waiting for action \"first\"");
        Ok(Seen::when(waits, format!("{status:?}")))
    })
    .await?;
    let first = ended(
        &project,
        "first",
        ActionState::Succeeded,
        "did not power off in 40 s",
    )
    .await?;
    let second = ended(&project, "second", ActionState::Succeeded, "was reset").await?;
    let finished = first
        .status
        .and_then(|status| status.finished_at)
        .context("no time")?;
    let started = second
        .status
        .and_then(|status| status.started_at)
        .context("no time")?;
    ensure!(
        started.0 >= finished.0,
        "the second began at {started:?}, the first ended at {finished:?}"
    );
    let report = guest
        .wait_report("a second boot", BOOT, |report| {
            report.boot_counts.len() >= 2
        })
        .await?;
    ensure!(
        report.power_buttons.contains(&PowerButton::Ignored),
        "{report:?}"
    );
    project.delete_all_of("deaf", &guest).await
}

#[tokio::test]
async fn an_action_that_cannot_be_done_fails_with_the_reason_and_expires() -> Result<()> {
    let project = Project::shared().await?;
    project
        .make("off", |spec| spec.power_state = PowerState::Stopped)
        .await?;
    project.wait_state("off", ServerState::Shutoff).await?;
    project
        .create(&reboot("kept", "off", RebootKind::Hard))
        .await?;
    project.create(&nmi("nobody", "nobody")).await?;
    let mut brief = reboot("brief", "off", RebootKind::Soft);
    brief.spec.ttl_after_finished = Some(Duration::from_secs(1).into());
    project.create(&brief).await?;
    let cluster = project.testbed.cluster().await?;
    cluster
        .apply(&NONE.replace("PROJECT", &project.name))
        .await?;
    ended(
        &project,
        "kept",
        ActionState::Failed,
        "does not run: set spec.powerState: Running",
    )
    .await?;
    ended(
        &project,
        "nobody",
        ActionState::Failed,
        "there is no server \"nobody\"",
    )
    .await?;
    let actions = project.api::<ServerAction>();
    for name in ["brief", "none"] {
        wait_for(&format!("action {name} to expire"), SOON, async || {
            let action = actions.get_opt(name).await?;
            Ok(Seen::when(
                action.is_none(),
                format!("{:?}", action.and_then(|action| action.status)),
            ))
        })
        .await?;
    }
    let kept = ended(&project, "kept", ActionState::Failed, "").await?;
    let conditions = kept.status.context("no status")?.conditions;
    ensure!(
        conditions
            .iter()
            .any(|condition| condition.type_ == "Stalled" && condition.status == "True"),
        "{conditions:?}"
    );
    project.delete("off").await?;
    // History outlives its server, but nothing begins on a server that is gone.
    ensure!(actions.get_opt("kept").await?.is_some());
    project.create(&nmi("late", "off")).await?;
    ended(
        &project,
        "late",
        ActionState::Failed,
        "there is no server \"off\"",
    )
    .await?;
    Ok(())
}
