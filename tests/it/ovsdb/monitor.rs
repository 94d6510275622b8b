//! The replica follows the server, also over reconnects, and asks for no more than it has to.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use kilonova::ovsdb::northbound::LogicalSwitch;
use kilonova::ovsdb::{
    Changes, Condition, Event, Monitors, Replica, Row, Session, Transaction, Uuid, table,
};
use tempfile::{TempDir, tempdir};
use tokio::time;

use super::gate::Gate;
use super::server::Server;
use super::{SOON, ready, settings, switch, wait_away, wait_ready};

/// How many rows there are before anything happens.
const ROWS: u64 = 1000;

type Rows = BTreeMap<Uuid, LogicalSwitch>;

fn rows(replica: &Replica) -> Rows {
    let view = replica.view();
    view.rows::<LogicalSwitch>().map(Result::unwrap).collect()
}

/// What the server says when it is asked.
async fn asked(session: &Session) -> Result<Rows> {
    let mut transaction = Transaction::new();
    let all = transaction.select::<LogicalSwitch>(&[]);
    let results = session.transact(&transaction).await?;
    Ok(results.rows(&all)?.into_iter().collect())
}

/// In several transactions: servers remember none that is larger than what they keep of all, which is as much as the
/// database holds.
async fn fill(session: &Session) -> Result<()> {
    for part in 0..10 {
        let mut transaction = Transaction::new();
        for number in 0..ROWS / 10 {
            let number = part * ROWS / 10 + number;
            transaction.insert(&switch(&format!("switch {number}")));
        }
        session.transact(&transaction).await?;
    }
    Ok(())
}

/// Three rows change, two go, one comes.
async fn change_six(session: &Session) -> Result<()> {
    let mut transaction = Transaction::new();
    let named = |number: u64| [Condition::equal("name", format!("switch {number}"))];
    let ids = BTreeMap::from([("changed".to_owned(), "yes".to_owned())]);
    for number in 0..3 {
        let changed = Row::new().with("external_ids", ids.clone());
        transaction.update::<LogicalSwitch>(&named(number), changed);
    }
    for number in 3..5 {
        transaction.delete::<LogicalSwitch>(&named(number));
    }
    transaction.insert(&switch("new"));
    session.transact(&transaction).await?;
    Ok(())
}

/// Exactly six changes are heard, and then none.
async fn hear_six(changes: &mut Changes) -> Result<()> {
    let (mut come, mut gone, mut other) = (0, 0, 0);
    for _ in 0..6 {
        let event = time::timeout(SOON, changes.next()).await?;
        let Some(Event::Row(change)) = event else {
            bail!("{event:?}");
        };
        match (change.before, change.after) {
            (None, Some(_)) => come += 1,
            (Some(_), None) => gone += 1,
            _ => other += 1,
        }
    }
    assert_eq!((come, gone, other), (1, 2, 3));
    let more = time::timeout(std::time::Duration::from_millis(200), changes.next()).await;
    assert!(more.is_err(), "{more:?}");
    Ok(())
}

async fn same(replica: &Replica, expected: &Rows) -> Result<()> {
    let found = time::timeout(
        SOON,
        replica.until(|view| (view.count::<LogicalSwitch>() == expected.len()).then_some(())),
    );
    found.await.context("it never has as many rows")?;
    assert_eq!(&rows(replica), expected);
    Ok(())
}

/// A server, a session with it, and another one through a gate.
async fn gated(folder: &TempDir, server: &Server) -> Result<(Session, Gate, Session)> {
    let direct = ready(settings(vec![server.endpoint()])).await?;
    fill(&direct).await?;
    let gate = Gate::new(folder.path().join("gate"), server.socket())?;
    let session = ready(settings(vec![gate.endpoint()])).await?;
    let told = session.replica().told();
    assert_eq!((told.rows, told.downloads, told.resumptions), (ROWS, 1, 0));
    Ok((direct, gate, session))
}

/// What a session is told after it was cut off while six rows changed.
async fn told_after_a_cut(server: &Server, folder: &TempDir) -> Result<(u64, u64, u64)> {
    let (direct, mut gate, session) = gated(folder, server).await?;
    let mut changes = session.replica().changes();
    gate.shut().await;
    let reason = wait_away(&session).await?;
    assert!(reason.contains("gate"), "{reason}");
    assert_eq!(
        rows(session.replica()).len() as u64,
        ROWS,
        "the copy stays readable"
    );
    change_six(&direct).await?;
    gate.open()?;
    wait_ready(&session).await?;
    same(session.replica(), &asked(&direct).await?).await?;
    hear_six(&mut changes).await?;
    // And it goes on as before.
    change_six(&direct).await?;
    let expected = asked(&direct).await?;
    same(session.replica(), &expected).await?;
    let told = session.replica().told();
    Ok((told.rows, told.downloads, told.resumptions))
}

#[tokio::test]
async fn a_reconnect_tells_only_what_has_changed() -> Result<()> {
    let folder = tempdir()?;
    let members = Server::cluster(&folder, 1).await?;
    let (rows, downloads, resumptions) = told_after_a_cut(&members[0], &folder).await?;
    // Six while it was away; later one that comes, since the others are as they should be already.
    assert_eq!((rows, downloads, resumptions), (ROWS + 6 + 1, 1, 1));
    Ok(())
}

/// A server that is alone remembers no transactions, and says so.
#[tokio::test]
async fn a_server_that_remembers_nothing_tells_everything_and_only_changes_are_heard() -> Result<()>
{
    let folder = tempdir()?;
    let server = Server::standalone(&folder).await?;
    let (rows, downloads, resumptions) = told_after_a_cut(&server, &folder).await?;
    assert_eq!(
        (rows, downloads, resumptions),
        (ROWS + (ROWS - 1) + 1, 2, 0)
    );
    Ok(())
}

#[tokio::test]
async fn older_servers_are_asked_in_their_ways() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::standalone(&folder).await?;
    let direct = ready(settings(vec![server.endpoint()])).await?;
    fill(&direct).await?;
    for (name, method) in [
        ("2.11", ("\"monitor_cond_since\"", "\"monitor_cond_sinc3\"")),
        ("2.5", ("\"monitor_cond", "\"monitor_c0nd")),
    ] {
        let gate = Gate::without(folder.path().join(name), server.socket(), method)?;
        let session = ready(settings(vec![gate.endpoint()])).await?;
        let mut changes = session.replica().changes();
        assert_eq!(rows(session.replica()), asked(&direct).await?, "{name}");
        change_six(&direct).await?;
        hear_six(&mut changes).await.context(name)?;
        assert_eq!(rows(session.replica()), asked(&direct).await?, "{name}");
        // As it was before, for the next one.
        let mut transaction = Transaction::new();
        transaction.delete::<LogicalSwitch>(&[]);
        direct.transact(&transaction).await?;
        fill(&direct).await?;
    }
    Ok(())
}

#[tokio::test]
async fn conditions_select_rows() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::standalone(&folder).await?;
    let direct = ready(settings(vec![server.endpoint()])).await?;
    fill(&direct).await?;
    let mut settings = settings(vec![server.endpoint()]);
    let seventh = Condition::equal("name", "switch 7");
    settings.monitors = Monitors::new().matching::<LogicalSwitch>(&[seventh]);
    let session = ready(settings).await?;
    assert_eq!(session.replica().told().rows, 1);
    let found = rows(session.replica());
    assert_eq!(
        found.values().next().map(|row| row.name.as_str()),
        Some("switch 7")
    );
    Ok(())
}

table! {
    /// What a newer program knows of switches.
    pub struct NewerSwitch in "Logical_Switch" {
        /// Known.
        pub name: String,
        /// Unknown to the server.
        pub newer: Option<String>,
    }
    /// A table that the server has not.
    pub struct Newer in "Newer" {
        /// Unknown to the server.
        pub name: String,
    }
}

#[tokio::test]
async fn columns_and_tables_that_the_server_has_not_are_empty() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::standalone(&folder).await?;
    let mut settings = settings(vec![server.endpoint()]);
    settings.monitors = Monitors::new().table::<NewerSwitch>().table::<Newer>();
    let session = ready(settings).await?;
    let mut transaction = Transaction::new();
    let row = NewerSwitch {
        name: "a".to_owned(),
        newer: None,
    };
    transaction.insert(&row);
    session.transact(&transaction).await?;
    let view = session.replica().view();
    let found: Vec<NewerSwitch> = view.rows().map(|row| row.unwrap().1).collect();
    assert_eq!(found, [row]);
    assert_eq!(
        (view.has_table::<NewerSwitch>(), view.has_table::<Newer>()),
        (true, false)
    );
    assert_eq!(view.count::<Newer>(), 0);
    Ok(())
}
