//! Clients and servers of TCP and UDP that say who they are.

pub mod bulk;
pub mod tcp;
pub mod udp;

use std::time::Duration;

use anyhow::Result;

use crate::arguments::Arguments;

/// How long a client waits when nobody says otherwise.
const TIMEOUT_MS: u64 = 3000;

/// How long to wait for the other side.
pub fn timeout(arguments: &Arguments) -> Result<Duration> {
    Ok(Duration::from_millis(
        arguments.get_or("timeout-ms", TIMEOUT_MS)?,
    ))
}
