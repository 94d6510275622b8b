//! A raft cluster of three: who is written to, and what happens when that one dies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use kilonova::ovsdb::northbound::LogicalSwitch;
use kilonova::ovsdb::{Endpoint, Member, Outcome, Readiness, Session, Transaction};
use tempfile::tempdir;
use tokio::time;

use super::server::Server;
use super::{ready, settings, switch, wait_away, wait_ready};

/// How many write at once.
const WRITERS: usize = 8;
/// How many transactions have to succeed after the leader's end.
const AFTERWARDS: usize = 200;

fn endpoints(members: &[Server]) -> Vec<Endpoint> {
    members.iter().map(Server::endpoint).collect()
}

/// Which member a session is with.
fn member_of(session: &Session, members: &[Server]) -> Result<usize> {
    let readiness = session.readiness().borrow().clone();
    let Readiness::Ready { endpoint } = readiness else {
        anyhow::bail!("{readiness:?}");
    };
    members
        .iter()
        .position(|member| member.endpoint() == endpoint)
        .context("it is a member's")
}

/// How transactions ended, by the names of the switches that they were to make.
type Ends = BTreeMap<String, Result<(), Outcome>>;

/// Makes one switch after the other until told to stop.
async fn write(session: Arc<Session>, writer: usize, stop: Arc<AtomicBool>) -> Ends {
    let mut ends = Ends::new();
    while !stop.load(Ordering::Relaxed) {
        let name = format!("{writer} {}", ends.len());
        let mut transaction = Transaction::new();
        transaction.insert(&switch(&name));
        let end = session.transact(&transaction).await;
        if end.is_err() {
            time::sleep(Duration::from_millis(50)).await;
        }
        ends.insert(name, end.map(drop).map_err(|error| error.outcome()));
    }
    ends
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leaders_end_loses_nothing_and_repeats_nothing() -> Result<()> {
    let folder = tempdir()?;
    let mut members = Server::cluster(&folder, 3).await?;
    let session = Arc::new(ready(settings(endpoints(&members))).await?);
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(Arc::clone(&session), writer, Arc::clone(&stop))))
        .collect();
    let has = |count: usize| {
        session
            .replica()
            .until(move |view| (view.count::<LogicalSwitch>() >= count).then_some(()))
    };
    time::timeout(super::SOON, has(200))
        .await
        .context("nothing is written")?;

    let leader = member_of(&session, &members)?;
    members[leader].kill()?;
    wait_away(&session).await?;
    wait_ready(&session).await?;
    assert_ne!(member_of(&session, &members)?, leader);
    let before = session.replica().view().count::<LogicalSwitch>();
    time::timeout(super::SOON, has(before + AFTERWARDS))
        .await
        .context("nothing is written any more")?;
    stop.store(true, Ordering::Relaxed);
    let mut ends = Ends::new();
    for writer in writers {
        ends.extend(writer.await?);
    }

    // What is there by now, asked of another session that has seen nothing of all this.
    let witness = ready(settings(endpoints(&members))).await?;
    let mut transaction = Transaction::new();
    let all = transaction.select::<LogicalSwitch>(&[]);
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for (_, row) in witness.transact(&transaction).await?.rows(&all)? {
        *found.entry(row.name).or_default() += 1;
    }
    let mut unknown = 0;
    for (name, end) in &ends {
        let times = found.remove(name).unwrap_or_default();
        match end {
            Ok(()) => assert_eq!(times, 1, "{name} was acknowledged"),
            Err(Outcome::NotDone) => assert_eq!(times, 0, "{name} was not done"),
            Err(Outcome::Unknown) => {
                unknown += 1;
                assert!(times <= 1, "{name} is there {times} times");
            }
        }
    }
    assert_eq!(found, BTreeMap::new(), "nobody asked for these");
    assert!((1..=WRITERS).contains(&unknown), "{unknown} were under way");
    // The next leader told only what was missing.
    let told = session.replica().told();
    assert_eq!((told.downloads, told.resumptions), (1, 1));
    let there = witness.replica().view().count::<LogicalSwitch>() as u64;
    assert!(told.rows <= there, "{} rows told of {there}", told.rows);
    assert_eq!(
        session.replica().view().count::<LogicalSwitch>() as u64,
        there
    );
    Ok(())
}

#[tokio::test]
async fn any_member_will_do_for_reading_and_only_the_leader_for_writing() -> Result<()> {
    let folder = tempdir()?;
    let mut members = Server::cluster(&folder, 3).await?;
    let writer = ready(settings(endpoints(&members))).await?;
    let leader = member_of(&writer, &members)?;
    let follower = (leader + 1) % members.len();
    let mut reading = settings(vec![members[follower].endpoint()]);
    // The leader's session does not take a follower.
    let refused = Session::start(reading.clone());
    reading.member = Member::Any;
    let reader = ready(reading).await?;
    let mut transaction = Transaction::new();
    transaction.insert(&switch("a"));
    writer.transact(&transaction).await?;
    let seen = reader
        .replica()
        .until(|view| (view.count::<LogicalSwitch>() == 1).then_some(()));
    time::timeout(super::SOON, seen).await?;
    let mut readiness = refused.readiness();
    let says =
        |readiness: &Readiness| format!("{readiness:?}").contains("not the cluster's leader");
    time::timeout(super::SOON, readiness.wait_for(says)).await??;

    // Two of three gone: who is left says that it is cut off.
    for at in (0..members.len()).filter(|at| *at != follower) {
        members[at].kill()?;
    }
    let reason = wait_away(&reader).await?;
    assert!(
        reason.contains("not in contact with its cluster"),
        "{reason}"
    );
    members[leader].run().await?;
    wait_ready(&reader).await?;
    assert_eq!(reader.replica().told().downloads, 1);
    Ok(())
}

#[tokio::test]
async fn a_leader_that_hangs_is_left_and_what_was_asked_of_it_is_unknown() -> Result<()> {
    let folder = tempdir()?;
    let members = Server::cluster(&folder, 3).await?;
    let mut settings = settings(endpoints(&members));
    settings.limits.probe_interval = Duration::from_millis(500);
    let session = ready(settings).await?;
    let leader = member_of(&session, &members)?;
    members[leader].hang(true)?;
    let mut transaction = Transaction::new();
    transaction.insert(&switch("a"));
    let error = session.transact(&transaction).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error:?}");
    wait_ready(&session).await?;
    let next = member_of(&session, &members)?;
    assert_ne!(next, leader);
    transaction = Transaction::new();
    transaction.insert(&switch("b"));
    session.transact(&transaction).await?;

    // It wakes up, and learns that it leads no more: nobody goes back to it.
    members[leader].hang(false)?;
    transaction = Transaction::new();
    let all = transaction.select::<LogicalSwitch>(&[]);
    let rows = session.transact(&transaction).await?.rows(&all)?;
    assert!(rows.iter().any(|(_, row)| row.name == "b"));
    assert_eq!(member_of(&session, &members)?, next);
    Ok(())
}
