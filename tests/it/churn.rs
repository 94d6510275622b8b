//! Objects of every kind of network that come and go in any order: what is left in OVN's databases, and of addresses, when
//! they are gone. On a real API server, operator, OVN and one node, so that routers have a gateway to be on.

mod books;
mod dice;
mod orders;
mod projects;
mod rows;
mod specs;
mod steps;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::json;
use testbed::{Seen, Testbed, wait_for};
use tokio::sync::Mutex;

use crate::shared::{OwnTestbed, SOON};

use books::Books;
use projects::{Projects, called, kind};
use rows::Rows;

static TESTBED: OwnTestbed = OwnTestbed::new("churn", 1);
/// Rows are counted of the whole database.
static ALONE: Mutex<()> = Mutex::const_new(());

/// What the databases have before anything of a test is there.
async fn empty(testbed: &Testbed) -> Result<Rows> {
    // What the node says of itself stays.
    testbed.ovn().wait_chassis("n1").await?;
    let rows = Rows::look(testbed).await?;
    ensure!(
        rows.marked.is_empty(),
        "somebody has left {:?}",
        rows.marked
    );
    Ok(rows)
}

/// Waits until nothing is under way, and everything as it has to be.
async fn rest(projects: &Projects, before: &Rows) -> Result<Rows> {
    wait_for("everything to be as it has to be", SOON, async || {
        let objects = projects.objects().await?;
        let rows = Rows::look(projects.testbed).await?;
        let faults = Books::of(&objects).faults(&rows, before);
        Ok(if faults.is_empty() {
            Seen::Wanted(rows)
        } else {
            Seen::NotYet(format!("{faults:#?}"))
        })
    })
    .await
}

async fn delete(projects: &Projects, object: &DynamicObject) -> Result<()> {
    let project = object.namespace().unwrap_or_default();
    projects
        .delete(&project, kind(object), &object.name_any())
        .await
}

/// Waits until no object is left, nor a row.
async fn gone(projects: &Projects, before: &Rows) -> Result<Rows> {
    wait_for("nothing to be left", SOON, async || {
        let objects = projects.objects().await?;
        // A port that was deleted after its group has had it made anew.
        for group in objects
            .iter()
            .filter(|object| object.name_any() == "default")
        {
            delete(projects, group).await?;
        }
        let rows = Rows::look(projects.testbed).await?;
        let differences = rows.differences(before);
        Ok(
            if objects.is_empty() && rows.marked.is_empty() && differences.is_empty() {
                Seen::Wanted(rows)
            } else {
                let left: BTreeMap<String, String> = objects
                    .iter()
                    .map(|object| {
                        (
                            called(object),
                            json!([object.metadata, object.data["status"]]).to_string(),
                        )
                    })
                    .collect();
                Seen::NotYet(format!("{left:#?} {:?} {differences:#?}", rows.marked))
            },
        )
    })
    .await
}
