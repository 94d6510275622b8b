//! A node boots anew, with all that was in it gone: it comes back, and each of its guests does what its owner said.

use anyhow::{Context, Result, ensure};
use kilonova::api::server::{PowerState, RestartPolicy, Server, ServerState};
use testbed::{Seen, wait_for};

use crate::shared::{BOOT, Project, SOON};

use super::{Witness, turn, undisturbed};

/// Everything in this test is on this node, but for one witness.
const NODE: &str = "n1";

#[tokio::test]
async fn a_node_that_boots_gets_its_guests_back_as_their_owners_said() -> Result<()> {
    let (_turn, project) = turn().await?;
    let always = boot(&project, "always", NODE, RestartPolicy::Always).await?;
    let on_failure = boot(&project, "on-failure", NODE, RestartPolicy::OnFailure).await?;
    let never = boot(&project, "never", NODE, RestartPolicy::Never).await?;
    let stopped = boot(&project, "stopped", NODE, RestartPolicy::Always).await?;
    let elsewhere = boot(&project, "elsewhere", "n2", RestartPolicy::Always).await?;
    project.power("stopped", PowerState::Stopped).await?;
    project.wait_state("stopped", ServerState::Shutoff).await?;

    let node = project.testbed.node(NODE)?;
    node.power_off().await?;
    ensure!(node.init().is_err(), "the node is off");
    project.testbed.boot(NODE).await?;
    wait_for("the node's agent to run again", SOON * 2, async || {
        let pods = project.testbed.agent_pods().await?;
        Ok(Seen::when(
            pods.iter()
                .any(|pod| pod.node == NODE && pod.process().is_ok()),
            "it does not",
        ))
    })
    .await?;

    for witness in [&always, &on_failure] {
        let again = |server: &Server| {
            let status = server.status.as_ref();
            status.is_some_and(|status| {
                status.state == Some(ServerState::Active) && status.restarts == Some(1)
            })
        };
        project
            .wait(witness.name, "to run again", BOOT, again)
            .await?;
        let report = witness.guest.wait_up(2).await?;
        ensure!(report.boot_counts.len() >= 2, "{:?}", report.boot_counts);
    }
    for (name, guest) in [("never", &never.guest), ("stopped", &stopped.guest)] {
        let off = |server: &Server| {
            let status = server.status.as_ref();
            status.and_then(|status| status.state) == Some(ServerState::Shutoff)
        };
        project.wait(name, "to be off", SOON, off).await?;
        ensure!(guest.qemu().is_none(), "{name} runs");
    }
    undisturbed(std::slice::from_ref(&elsewhere), "another node booted").await?;
    for witness in [always, on_failure, never, stopped, elsewhere] {
        project.delete_all_of(witness.name, &witness.guest).await?;
    }
    Ok(())
}

async fn boot(
    project: &Project<'_>,
    name: &'static str,
    node: &str,
    restart_policy: RestartPolicy,
) -> Result<Witness> {
    let (guest, _) = project
        .boot(name, |spec| {
            let node_selector = [("kubernetes.io/hostname".to_owned(), node.to_owned())].into();
            spec.placement = Some(kilonova::api::server::Placement { node_selector });
            spec.restart_policy = restart_policy;
        })
        .await?;
    let qemu = guest.qemu().context("it has no QEMU")?;
    Ok(Witness { name, guest, qemu })
}
