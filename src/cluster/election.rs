//! One operator acts at a time: whoever holds the Lease. The others stand by with warm caches.

use kube::Client;
use kube_lease_manager::{LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tracing::info;

/// How long a leader may be silent before another takes over, in seconds.
const LEASE_SECONDS: u64 = 10;

/// How long before its end the leader renews the lease, in seconds: two tries fit.
const RENEW_AHEAD_SECONDS: u64 = 7;

/// What went wrong with the election.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Lease could not be read or made.
    #[error("failed to take part in the election by Lease {namespace}/{name}")]
    Join {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: &'static str,
        /// Why.
        source: Box<LeaseManagerError>,
    },
}

/// Takes part in the election; the answer is whether this process leads, as it changes.
pub async fn join(
    client: Client,
    namespace: &str,
    name: &'static str,
    identity: &str,
) -> Result<watch::Receiver<bool>, Error> {
    let failed = |source| Error::Join {
        namespace: namespace.to_owned(),
        name,
        source: Box::new(source),
    };
    let manager = LeaseManagerBuilder::new(client, name)
        .with_namespace(namespace)
        .with_identity(identity)
        .with_duration(LEASE_SECONDS)
        .with_grace(RENEW_AHEAD_SECONDS)
        .build()
        .await
        .map_err(failed)?;
    let (leads, _task) = manager.watch().await;
    info!(identity, "taking part in the election");
    Ok(leads)
}
