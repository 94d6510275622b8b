//! The OVSDB client with real ovsdb-servers: alone, in a raft cluster of three, behind TLS, and behind a gate that the test
//! opens and closes. Needs no root; each test has servers of its own, in a temporary folder.

mod gate;
mod server;

mod cluster;
mod hostile;
mod monitor;
mod northbound;
mod tls;
mod transact;

use std::time::Duration;

use anyhow::{Context, Result};
use kilonova::ovsdb::northbound::{DATABASE, LogicalSwitch};
use kilonova::ovsdb::{Endpoint, Limits, Member, Monitors, Readiness, Session, Settings};
use tokio::time;

/// How long anything may take: generous, since machines of tests are slow and busy.
const SOON: Duration = Duration::from_mins(1);

/// What most tests want: the leader, and all switches.
fn settings(endpoints: Vec<Endpoint>) -> Settings {
    Settings {
        database: DATABASE.to_owned(),
        endpoints,
        tls: None,
        member: Member::Leader,
        monitors: Monitors::new().table::<LogicalSwitch>(),
        limits: Limits::default(),
    }
}

/// A session that is ready.
async fn ready(settings: Settings) -> Result<Session> {
    let session = Session::start(settings);
    wait_ready(&session).await?;
    Ok(session)
}

async fn wait_ready(session: &Session) -> Result<()> {
    let ready = time::timeout(SOON, session.ready()).await;
    let why = || format!("{:?}", *session.readiness().borrow());
    ready.with_context(why)
}

async fn wait_away(session: &Session) -> Result<String> {
    let mut readiness = session.readiness();
    let away = readiness.wait_for(|readiness| !readiness.is_ready());
    let away = time::timeout(SOON, away)
        .await
        .context("it stays ready")??;
    match &*away {
        Readiness::Waiting { reason } => Ok(reason.clone()),
        Readiness::Ready { endpoint } => anyhow::bail!("{endpoint} is ready"),
    }
}

fn switch(name: &str) -> LogicalSwitch {
    LogicalSwitch {
        name: name.to_owned(),
        ..LogicalSwitch::default()
    }
}
