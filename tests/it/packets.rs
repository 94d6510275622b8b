//! Packets: what guests see of their networks, and what they cannot do to each other's. Everything is measured inside the
//! guests, or outside of the cloud, and nothing is believed because a row says so.
//!
//! A testbed of three nodes for one test at a time: guests under emulation keep a core busy.

#![allow(clippy::print_stdout, reason = "how long things took is a result, too")]

mod cloud;
mod edge;
mod example;
mod forgery;
mod gateway;
mod ipv6;
mod metadata;
mod neighbours;
mod rules;

use anyhow::Result;
use tokio::sync::{Mutex, MutexGuard};

use crate::shared::OwnTestbed;

use cloud::Tenant;

static TESTBED: OwnTestbed = OwnTestbed::new("packets", 3);
static TURN: Mutex<()> = Mutex::const_new(());

/// A tenant on the testbed, when it is this test's turn.
async fn turn() -> Result<(MutexGuard<'static, ()>, Tenant)> {
    let turn = TURN.lock().await;
    let tenant = Tenant::on(TESTBED.get().await?).await?;
    Ok((turn, tenant))
}
