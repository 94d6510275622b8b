//! Five hundred random steps, and what is left of them.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::Result;
use futures::future::try_join_all;
use serde_json::json;
use testbed::{Seen, wait_for};

use crate::shared::SOON;

use super::dice::Dice;
use super::projects::{Made, Projects, kind};
use super::rows::{Counts, Rows};
use super::specs::{Author, SLOTS, stays};
use super::{ALONE, TESTBED, delete, empty, gone, rest};

/// How many objects are made and deleted.
const STEPS: usize = 500;
/// After how many steps everything is looked at.
const LOOK_EVERY: usize = 50;
/// At which steps the operator is killed.
const KILLS: [usize; 3] = [120, 275, 430];

#[tokio::test]
async fn five_hundred_random_steps_leave_no_row_and_no_address() -> Result<()> {
    let _alone = ALONE.lock().await;
    let testbed = TESTBED.get().await?;
    let (mut dice, seed) = Dice::new()?;
    let began = Instant::now();
    let before = empty(testbed).await?;
    let projects = Projects::new(testbed, 2).await?;
    let mut most = Counts::new();
    let mut tally = Tally::default();
    while tally.steps() < STEPS {
        let taken = tally.steps();
        step(&projects, &mut dice, &mut tally).await?;
        let passed = |mark: usize| taken < mark && mark <= tally.steps();
        if KILLS.into_iter().any(passed) {
            let operator = testbed.part("operator")?;
            operator.kill9().await?;
            operator.start().await?;
        }
        if taken / LOOK_EVERY < tally.steps() / LOOK_EVERY {
            let rows = rest(&projects, &before).await?;
            for (table, count) in rows.northbound {
                let most = most.entry(table).or_default();
                *most = (*most).max(count);
            }
        }
    }
    let stepped = began.elapsed();
    delete_all(&projects, &mut dice).await?;
    let after = gone(&projects, &before).await?;
    every_address_again(&projects, &before).await?;
    projects.end().await?;
    eprintln!(
        "churn: seed {seed}; {tally:?}; {:.1} s for steps, {:.1} s in all; rows at most {most:?}; before {:?}, after {:?}",
        stepped.as_secs_f64(),
        began.elapsed().as_secs_f64(),
        before.northbound,
        after.northbound,
    );
    Ok(())
}

/// What was done.
#[derive(Debug, Default)]
struct Tally {
    made: usize,
    deleted: usize,
    /// Made again at once, while the one before was still there.
    occupied: usize,
}

impl Tally {
    fn steps(&self) -> usize {
        self.made + self.deleted
    }
}

/// Makes something that is not there, or deletes something that is; sometimes both, one after the other.
async fn step(projects: &Projects, dice: &mut Dice, tally: &mut Tally) -> Result<()> {
    let home = dice.below(projects.names.len());
    let (project, other) = (&projects.names[home], &projects.names[1 - home]);
    let all: Vec<(&str, &str)> = SLOTS
        .iter()
        .flat_map(|(kind, names)| names.iter().map(move |name| (*kind, *name)))
        .collect();
    let (kind, name) = *dice.one(&all);
    let flavor = project.as_str();
    let there = projects.of(project, kind).get_opt(name).await?;
    if let Some(there) = there {
        if there.metadata.deletion_timestamp.is_some() || !dice.once_in(stays(kind)) {
            return Ok(());
        }
        projects.delete(project, kind, name).await?;
        tally.deleted += 1;
        if !dice.once_in(4) {
            return Ok(());
        }
    }
    let spec = Author {
        dice,
        other,
        flavor,
    }
    .spec(kind, name);
    match projects.make(project, kind, name, &spec).await? {
        Made::Yes => tally.made += 1,
        Made::Occupied => tally.occupied += 1,
    }
    Ok(())
}

/// Deletes everything that is there, in any order.
async fn delete_all(projects: &Projects, dice: &mut Dice) -> Result<()> {
    let mut objects = projects.objects().await?;
    dice.shuffle(&mut objects);
    for object in &objects {
        delete(projects, object).await?;
    }
    Ok(())
}

/// A subnet made where others were can give away all of its pool.
async fn every_address_again(projects: &Projects, before: &Rows) -> Result<()> {
    let project = &projects.names[0];
    projects.make(project, "Network", "n0", &json!({})).await?;
    let spec = json!({"network": "n0", "cidr": "10.0.0.0/28"});
    projects.make(project, "Subnet", "s0", &spec).await?;
    let wanted: BTreeSet<String> = (2..=14).map(|number| format!("10.0.0.{number}")).collect();
    let names: Vec<String> = (0..wanted.len())
        .map(|number| format!("p{number}"))
        .collect();
    let spec = json!({"network": "n0"});
    try_join_all(
        names
            .iter()
            .map(|name| projects.make(project, "Port", name, &spec)),
    )
    .await?;
    wait_for("every address to be given again", SOON, async || {
        let objects = projects.objects().await?;
        let ports = objects.iter().filter(|object| kind(object) == "Port");
        let given: BTreeSet<String> = ports
            .flat_map(|port| {
                port.data["status"]["addresses"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default()
            })
            .filter_map(|address| Some(address["ip"].as_str()?.to_owned()))
            .collect();
        Ok(Seen::when(given == wanted, format!("{given:?}")))
    })
    .await?;
    for object in projects.objects().await? {
        delete(projects, &object).await?;
    }
    gone(projects, before).await.map(drop)
}
