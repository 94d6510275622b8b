use serde_json::Value;

use super::*;
use crate::{
    api::server_action::Verb,
    cluster::mock::{Answer, Asked},
    node::{
        controller::stage::{Stage, stage, status_path, stored},
        driver::{DomainState, Operation, PauseReason},
        plan::fixtures::{UID, domain, guest},
    },
};

/// An agent of this one guest, whose files are there; every status is taken.
async fn with(guest: Guest) -> (Stage, Arc<Guest>) {
    let guest = stored(guest);
    let stage = stage(vec![guest.clone()]).await;
    stage.build(&guest);
    (stage, Arc::new(guest))
}

/// Takes a status as the API server does.
fn taken(guest: &Guest) -> Answer {
    let guest = serde_json::to_value(guest).unwrap();
    Answer::by(move |asked: &Asked| {
        let mut guest = guest.clone();
        guest["status"] = asked.body["status"].clone();
        guest["metadata"]["resourceVersion"] = "2".into();
        Answer::Json(200, guest)
    })
}

async fn reconcile(stage: &Stage, guest: &Arc<Guest>) -> Result<Action> {
    let controller = GuestController(Arc::clone(&stage.ctx));
    controller.reconcile(Arc::clone(guest)).await
}

/// What the hypervisor was told to do, looks aside.
fn done(stage: &Stage) -> Vec<Operation> {
    let looks = [Operation::Find, Operation::List, Operation::Host];
    let calls = stage.ctx.driver.calls().into_iter();
    calls
        .map(|(operation, _)| operation)
        .filter(|operation| !looks.contains(operation))
        .collect()
}

fn reason(status: &Value, kind: &str) -> String {
    let conditions = status["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|it| it["type"] == kind).unwrap();
    found["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_guest_is_defined_and_started_and_told_of_in_one_write() {
    let (stage, guest) = with(guest()).await;
    stage.server.on("PATCH", &status_path(), taken(&guest));
    reconcile(&stage, &guest).await.unwrap();
    assert_eq!(done(&stage), [Operation::Define, Operation::Start]);
    let kept = std::fs::read_to_string(stage.folder().path().join("domain.xml")).unwrap();
    assert_eq!(stage.ctx.driver.xml(UID.parse().unwrap()), Some(kept));
    reconcile(&stage, &guest).await.unwrap();
    let said = stage.said();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(reason(&said[0], "Ready"), "AsAsked");
}

#[tokio::test]
async fn an_nmi_whose_outcome_could_not_be_written_is_sent_once_and_told_later() {
    let (stage, guest) = with(guest().told_to(Verb::Nmi)).await;
    stage.ctx.driver.put(domain(DomainState::Running));
    stage
        .server
        .on("PATCH", &status_path(), taken(&guest))
        .on(
            "PATCH",
            &status_path(),
            Answer::Failure(500, "InternalError"),
        )
        .on("PATCH", &status_path(), taken(&guest));
    reconcile(&stage, &guest).await.unwrap_err();
    reconcile(&stage, &guest).await.unwrap();
    assert_eq!(done(&stage), [Operation::Nmi]);
    let states: Vec<Value> = stage
        .said()
        .iter()
        .map(|status| status["action"]["state"].clone())
        .collect();
    assert_eq!(states, ["Running", "Succeeded", "Succeeded"]);
}

#[tokio::test]
async fn a_full_disk_is_no_hot_loop() {
    let (stage, guest) = with(guest()).await;
    let id = UID.parse().unwrap();
    stage.server.on("PATCH", &status_path(), taken(&guest));
    stage.ctx.driver.put(domain(DomainState::Running));
    for _ in 0..5 {
        stage.ctx.driver.stand_still(id, PauseReason::IoError);
        reconcile(&stage, &guest).await.unwrap();
        reconcile(&stage, &guest).await.unwrap();
    }
    assert_eq!(done(&stage), [Operation::Resume]);
    let said = stage.said();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(reason(&said[0], "Ready"), "StorageFailed");
}

#[tokio::test]
async fn a_state_folder_that_is_not_mounted_gets_no_new_disk() {
    let (stage, guest) = with(guest().has_run()).await;
    stage.server.on("PATCH", &status_path(), taken(&guest));
    stage.folder().remove().await.unwrap();
    reconcile(&stage, &guest).await.unwrap();
    assert_eq!(done(&stage), []);
    assert_eq!(reason(&stage.said()[0], "Stalled"), "LostDisk");
    assert!(!stage.folder().path().exists());
}

#[tokio::test]
async fn a_hypervisor_that_is_away_from_the_beginning_is_told() {
    let (stage, guest) = with(guest()).await;
    stage.server.on("PATCH", &status_path(), taken(&guest));
    stage.ctx.driver.set_reachable(false);
    reconcile(&stage, &guest).await.unwrap();
    assert_eq!(reason(&stage.said()[0], "Ready"), "HypervisorSilent");
}

#[tokio::test]
async fn a_seed_that_may_not_be_read_is_told() {
    let (stage, guest) = with(guest()).await;
    let secret = format!("/api/v1/namespaces/kilonova-node-n1/secrets/{UID}");
    stage.server.on("PATCH", &status_path(), taken(&guest)).on(
        "GET",
        &secret,
        Answer::Failure(403, "Forbidden"),
    );
    std::fs::remove_file(stage.folder().seed()).unwrap();
    reconcile(&stage, &guest).await.unwrap();
    assert_eq!(reason(&stage.said()[0], "Stalled"), "SeedForbidden");
}

#[tokio::test]
async fn a_guest_that_the_operator_would_not_write_is_left_alone() {
    let mut strange = guest();
    strange.spec.server.uid = UID.replace('0', "1");
    let (stage, guest) = with(strange).await;
    reconcile(&stage, &guest).await.unwrap();
    assert_eq!((done(&stage), stage.said()), (vec![], vec![]));
}
