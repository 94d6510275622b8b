//! Transactions: what happens, what does not, and what is said about it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use kilonova::ovsdb::northbound::{AddressSet, LogicalSwitch, LogicalSwitchPort};
use kilonova::ovsdb::transaction::Until;
use kilonova::ovsdb::{
    Condition, Failure, Fault, Member, Monitors, Mutation, Outcome, Row, Session, Table,
    TransactError, Transaction, Uuid,
};
use tempfile::tempdir;

use super::server::Server;
use super::{ready, settings, switch};

/// A session with a server of its own.
async fn session(folder: &tempfile::TempDir) -> Result<(Server, Session)> {
    let server = Server::standalone(folder).await?;
    let mut settings = settings(vec![server.endpoint()]);
    settings.monitors = settings.monitors.table::<LogicalSwitchPort>();
    let session = ready(settings).await?;
    Ok((server, session))
}

/// Why a transaction did not happen.
async fn failure(session: &Session, transaction: &Transaction) -> Result<Failure> {
    let error = session.transact(transaction).await.err();
    let error = error.context("it should have failed")?;
    assert_eq!(error.outcome(), Outcome::NotDone);
    error
        .failure()
        .cloned()
        .with_context(|| format!("{error:?}"))
}

fn names<T: Table>(session: &Session, name: impl Fn(T) -> String) -> BTreeSet<String> {
    let view = session.replica().view();
    view.rows().map(|row| name(row.unwrap().1)).collect()
}

#[tokio::test]
async fn whoever_wrote_sees_it() -> Result<()> {
    let folder = tempdir()?;
    let (_server, session) = session(&folder).await?;
    for number in 0..50 {
        let mut transaction = Transaction::new();
        let name = format!("port {number}");
        let port = transaction.insert(&LogicalSwitchPort {
            name: name.clone(),
            ..Default::default()
        });
        let mut owner = switch(&format!("switch {number}"));
        owner.ports = BTreeSet::from([port.reference()]);
        let owner = transaction.insert(&owner);
        let results = session.transact(&transaction).await?;
        let uuid = |inserted| results.uuid(inserted).context("it was inserted");
        // Without waiting: the server tells of it before it answers.
        let view = session.replica().view();
        let owner: LogicalSwitch = view.get(uuid(&owner)?)?.context("the replica has it")?;
        assert_eq!(owner.ports, BTreeSet::from([uuid(&port)?.into()]));
        let port: LogicalSwitchPort = view.get(uuid(&port)?)?.context("the replica has it")?;
        assert_eq!(port.name, name);
    }
    Ok(())
}

#[tokio::test]
async fn rows_are_changed_and_counted_and_read() -> Result<()> {
    let folder = tempdir()?;
    let (_server, session) = session(&folder).await?;
    let mut transaction = Transaction::new();
    for name in ["a", "b", "c"] {
        transaction.insert(&switch(name));
    }
    transaction.comment("three switches");
    session.transact(&transaction).await?;

    let mut transaction = Transaction::new();
    let named = |name: &str| [Condition::equal("name", name.to_owned())];
    let owner = [("owner".to_owned(), "me".to_owned())];
    let all = transaction.mutate::<LogicalSwitch>(
        &[],
        [Mutation::insert(
            "external_ids",
            std::collections::BTreeMap::from(owner.clone()),
        )],
    );
    let renamed = transaction.update::<LogicalSwitch>(&named("b"), Row::new().with("name", "B"));
    let gone = transaction.delete::<LogicalSwitch>(&named("c"));
    let none = transaction.delete::<LogicalSwitch>(&named("d"));
    let left = transaction.select::<LogicalSwitch>(&[]);
    let results = session.transact(&transaction).await?;
    let counts = [&all, &renamed, &gone, &none].map(|counted| results.count(counted));
    assert_eq!(counts, [Some(3), Some(1), Some(1), Some(0)]);
    let rows = results.rows(&left)?;
    let found: BTreeSet<_> = rows.iter().map(|(_, row)| row.name.clone()).collect();
    assert_eq!(found, BTreeSet::from(["a".to_owned(), "B".to_owned()]));
    assert!(
        rows.iter()
            .all(|(_, row)| row.external_ids == owner.clone().into())
    );
    assert_eq!(names(&session, |row: LogicalSwitch| row.name), found);
    Ok(())
}

#[tokio::test]
async fn a_guard_that_does_not_hold_lets_nothing_happen() -> Result<()> {
    let folder = tempdir()?;
    let (_server, session) = session(&folder).await?;
    let mut transaction = Transaction::new();
    let inserted = transaction.insert(&switch("a"));
    let uuid = session
        .transact(&transaction)
        .await?
        .uuid(&inserted)
        .context("inserted")?;
    let named = |name: &str| Row::new().with("name", name.to_owned());

    let mut held = Transaction::new();
    held.guard::<LogicalSwitch>(uuid, named("a"));
    held.guard_absent::<LogicalSwitch>(&[Condition::equal("name", "b")]);
    held.update::<LogicalSwitch>(&[Condition::row(uuid)], named("b"));
    session.transact(&held).await?;

    // Now both guards are wrong.
    let refused = failure(&session, &held).await?;
    assert_eq!(refused.fault, Fault::TimedOut);
    assert!(
        refused
            .to_string()
            .starts_with("wait in table Logical_Switch (operation 0): timed out"),
        "{refused}"
    );
    let mut absent = Transaction::new();
    absent.guard_absent::<LogicalSwitch>(&[Condition::equal("name", "b")]);
    absent.insert(&switch("b"));
    assert_eq!(failure(&session, &absent).await?.fault, Fault::TimedOut);
    assert_eq!(session.replica().view().count::<LogicalSwitch>(), 1);
    Ok(())
}

#[tokio::test]
async fn a_wait_ends_when_another_transaction_makes_it_true() -> Result<()> {
    let folder = tempdir()?;
    let (_server, session) = session(&folder).await?;
    let mut waiting = Transaction::new();
    let there = [Condition::equal("name", "a")];
    let timeout = Duration::from_secs(20);
    waiting.wait::<LogicalSwitch>(&there, Until::NotEqual, Vec::new(), timeout);
    waiting.insert(&switch("after a"));
    let mut making = Transaction::new();
    making.insert(&switch("a"));
    let (waited, made) = tokio::join!(session.transact(&waiting), session.transact(&making));
    waited?;
    made?;
    assert_eq!(session.replica().view().count::<LogicalSwitch>(), 2);
    Ok(())
}

#[tokio::test]
async fn a_failure_says_which_operation_and_why_and_nothing_happens() -> Result<()> {
    let folder = tempdir()?;
    let (_server, session) = session(&folder).await?;
    let set = AddressSet {
        name: "same".to_owned(),
        ..AddressSet::default()
    };
    let nobody = Uuid::from(1);

    let mut twice = Transaction::new();
    twice.insert(&switch("a"));
    twice.insert(&set);
    twice.insert(&set);
    let mut dangling = Transaction::new();
    let mut owner = switch("a");
    owner.acls = BTreeSet::from([nobody.into()]);
    dangling.insert(&owner);
    let mut unknown = Transaction::new();
    unknown.insert(&switch("a"));
    unknown.insert_columns::<LogicalSwitch>(Row::new().with("newer", 1_i64));
    let mut mistyped = Transaction::new();
    mistyped.insert_columns::<LogicalSwitch>(Row::new().with("name", 1_i64));
    for (transaction, place, fault) in [
        (twice, None, Fault::ConstraintViolation),
        (dangling, None, Fault::ReferentialIntegrityViolation),
        (unknown, Some(1), Fault::SyntaxError),
        (mistyped, Some(0), Fault::SyntaxError),
    ] {
        let failure = failure(&session, &transaction).await?;
        let found = failure
            .place
            .map(|place| (place.index, place.operation, place.table));
        let expected = place.map(|index| (index, "insert", Some("Logical_Switch")));
        assert_eq!((found, &failure.fault), (expected, &fault), "{failure}");
        assert!(!failure.details.is_empty());
    }
    assert_eq!(session.replica().view().count::<LogicalSwitch>(), 0);
    Ok(())
}

#[tokio::test]
async fn a_session_for_which_any_member_will_do_writes_nothing() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::standalone(&folder).await?;
    let mut settings = settings(vec![server.endpoint()]);
    settings.member = Member::Any;
    let session = ready(settings).await?;
    let mut transaction = Transaction::new();
    transaction.insert(&switch("a"));
    let error = session.transact(&transaction).await.unwrap_err();
    assert!(matches!(error, TransactError::ReadOnly { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::NotDone);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_reached_says_what_is_wrong_with_each_server() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::standalone(&folder).await?;
    let mut settings = settings(vec![
        "unix:/nowhere".parse()?,
        server.endpoint(),
        "ssl:127.0.0.1:1".parse()?,
    ]);
    settings.database = "Other".to_owned();
    settings.monitors = Monitors::new();
    let session = Session::start(settings);
    let mut readiness = session.readiness();
    let tried = readiness.wait_for(|readiness| format!("{readiness:?}").contains("nowhere"));
    tokio::time::timeout(super::SOON, tried).await??;
    let error = session.transact(&Transaction::new()).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotDone);
    let words = error.to_string();
    for part in [
        "unix:/nowhere: failed to connect: No such file",
        "alone.sock: it has no database Other",
        "ssl:127.0.0.1:1: it needs TLS, and no certificates are configured",
    ] {
        assert!(words.contains(part), "{words}");
    }
    Ok(())
}
