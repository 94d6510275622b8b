use tokio::time::advance;

use super::*;
use crate::{
    cluster::mock::Answer,
    node::{
        controller::stage::{Stage, guest_path, metadata, stage},
        driver::DomainState,
        plan::fixtures::{UID, domain, guest},
    },
};

/// An agent with a domain and a disk that no `Guest` is known of; the API server says this of the guest.
async fn orphaned(says: Answer) -> Stage {
    let stage = stage(Vec::new()).await;
    stage.build(&guest());
    stage.ctx.driver.put(domain(DomainState::Running));
    stage.server.on("GET", &guest_path(), says);
    stage
}

async fn after_the_grace(stage: &Stage, notes: &mut Notes) {
    sweep(&stage.ctx, notes).await;
    advance(GRACE).await;
    sweep(&stage.ctx, notes).await;
}

async fn is_untouched(stage: &Stage) -> bool {
    let found = stage.ctx.driver.find(UID.parse().unwrap()).await.unwrap();
    let runs = found.is_some_and(|domain| domain.state == DomainState::Running);
    runs && stage.folder().has_root_disk().unwrap() && !stage.is_aside()
}

#[tokio::test(start_paused = true)]
async fn what_certainly_nobody_wants_is_ended_and_set_aside_with_all_that_it_wrote() {
    let stage = orphaned(Answer::Failure(404, "NotFound")).await;
    let mut notes = Notes::default();
    sweep(&stage.ctx, &mut notes).await;
    assert!(is_untouched(&stage).await, "it was ended at first sight");
    advance(GRACE).await;
    sweep(&stage.ctx, &mut notes).await;
    let id = UID.parse().unwrap();
    assert_eq!(stage.ctx.driver.find(id).await.unwrap(), None);
    assert_eq!(stage.ctx.driver.kept(), [id]);
    assert!(stage.is_aside() && !stage.folder().path().exists());
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_this_agent_cannot_read_keeps_its_domain() {
    let stage = orphaned(metadata("any")).await;
    let mut notes = Notes::default();
    after_the_grace(&stage, &mut notes).await;
    after_the_grace(&stage, &mut notes).await;
    assert!(is_untouched(&stage).await);
}

#[tokio::test(start_paused = true)]
async fn only_a_real_404_is_an_answer() {
    for says in [
        Answer::Failure(500, "InternalError"),
        Answer::Failure(403, "Forbidden"),
        Answer::Failure(404, "Failed to parse error data"),
        Answer::Unreachable,
    ] {
        let stage = orphaned(says).await;
        after_the_grace(&stage, &mut Notes::default()).await;
        assert!(is_untouched(&stage).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_was_replaced_under_a_running_agent_ends_nobody() {
    let stage = orphaned(Answer::Failure(404, "NotFound")).await;
    let mut notes = Notes::default();
    // The first look swears to the old one.
    sweep(&stage.ctx, &mut notes).await;
    stage.replace_cluster();
    after_the_grace(&stage, &mut notes).await;
    after_the_grace(&stage, &mut notes).await;
    assert!(is_untouched(&stage).await);
}

/// As when the `Hypervisor` was deleted and made anew, or Kilonova installed again: orphans to come are swept.
#[tokio::test(start_paused = true)]
async fn a_node_with_nothing_of_another_cluster_serves_the_new_one() {
    for left in [false, true] {
        let stage = stage(Vec::new()).await;
        let mut notes = Notes::default();
        sweep(&stage.ctx, &mut notes).await;
        stage.replace_cluster();
        if left {
            stage.build(&guest());
        }
        let mut notes = Notes::default();
        sweep(&stage.ctx, &mut notes).await;
        assert_eq!((notes.sworn, notes.warned), (!left, left));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hypervisor_that_cannot_say_what_there_is_ends_nobody() {
    let stage = orphaned(Answer::Failure(404, "NotFound")).await;
    let mut notes = Notes::default();
    sweep(&stage.ctx, &mut notes).await;
    stage.ctx.driver.set_reachable(false);
    advance(GRACE).await;
    sweep(&stage.ctx, &mut notes).await;
    assert!(notes.blind);
    stage.ctx.driver.set_reachable(true);
    assert!(is_untouched(&stage).await);
}
