//! Tells the operator that this node's agent is alive, by renewing a Lease.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use tokio::{sync::watch, time};
use tracing::warn;

use crate::{
    api::HEARTBEAT_LABEL,
    cluster::{Writer, telemetry},
};

/// How often the heartbeat is renewed.
const EVERY: Duration = Duration::from_secs(2);

/// How long a renewal may take before the next is tried.
const RENEWAL_MAX: Duration = Duration::from_secs(5);

/// Renews the heartbeat until `stop` says true.
pub async fn beat(
    writer: Writer,
    namespace: String,
    node: String,
    mut stop: watch::Receiver<bool>,
) {
    let mut ticks = time::interval(EVERY);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let mut silent = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let renewed = time::timeout(RENEWAL_MAX, writer.apply(&lease(&namespace, &node))).await;
        let failure = match renewed {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(telemetry::chain(&error)),
            Err(_) => Some(format!("no answer in {} s", RENEWAL_MAX.as_secs())),
        };
        // Once for each silence: the operator says the rest.
        if let Some(error) = failure.as_ref().filter(|_| !silent) {
            warn!(
                error,
                "the heartbeat could not be renewed; guests run on, and it is tried again"
            );
        }
        silent = failure.is_some();
    }
}

fn lease(namespace: &str, node: &str) -> Lease {
    Lease {
        metadata: ObjectMeta {
            name: Some(node.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(BTreeMap::from([(
                HEARTBEAT_LABEL.to_owned(),
                "true".to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(node.to_owned()),
            lease_duration_seconds: Some(20),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        }),
    }
}
