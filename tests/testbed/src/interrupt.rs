//! Ctrl-C, for programs that clean up before they end.

use anyhow::{Context, Result, bail};

/// Waits for Ctrl-C, and is an error then. Whoever asks once takes Ctrl-C away from the process for good, and so has
/// to go on asking while there is anything to interrupt.
pub(crate) async fn interruption<T>() -> Result<T> {
    tokio::signal::ctrl_c()
        .await
        .context("failed to listen for Ctrl-C")?;
    bail!("interrupted")
}
