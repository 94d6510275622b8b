//! What the operator is told of OVN's certificates, and the task that keeps them.

use std::{path::PathBuf, time::Duration};

use jiff::SignedDuration;
use tokio::sync::watch;

use crate::{
    cluster::Writer,
    compute::controller::Caches,
    network::pki::{
        keeper::{Keeper, Settings},
        plan::LIFE,
    },
    ovsdb::Endpoint,
};

/// What the operator is told of OVN's certificates.
#[derive(Debug, clap::Args)]
#[allow(
    clippy::struct_field_names,
    reason = "arguments are named by their fields"
)]
pub struct PkiArguments {
    /// Makes and renews the certificates of OVN: of its databases, of the operator, and of every node. The operator's own is
    /// put into the folder of --ovn-certificates.
    #[arg(long, env = "KILONOVA_OVN_PKI")]
    ovn_pki: bool,
    /// The names and addresses that the certificate of the databases is for, with commas between them.
    #[arg(long, env = "KILONOVA_OVN_DATABASE_NAMES", value_delimiter = ',')]
    ovn_database_names: Vec<String>,
    /// How long certificates live, such as `2160h`.
    #[arg(long, env = "KILONOVA_OVN_CERTIFICATE_LIFE", value_parser = life, hide = true)]
    ovn_certificate_life: Option<Duration>,
}

fn life(text: &str) -> Result<Duration, String> {
    let life: SignedDuration = text
        .parse()
        .map_err(|error: jiff::Error| error.to_string())?;
    let life = Duration::try_from(life).map_err(|error| error.to_string())?;
    if life < Duration::from_mins(1) {
        return Err(
            "certificates that live for less than a minute are always being renewed".to_owned(),
        );
    }
    Ok(life)
}

impl PkiArguments {
    /// What the task is to do, if it is to do anything.
    pub fn settings(
        self,
        namespace: &str,
        folder: Option<PathBuf>,
        southbound: Vec<Endpoint>,
    ) -> Option<Settings> {
        let Self {
            ovn_pki,
            ovn_database_names,
            ovn_certificate_life,
        } = self;
        ovn_pki.then(|| Settings {
            namespace: namespace.to_owned(),
            southbound,
            names: ovn_database_names,
            folder,
            life: ovn_certificate_life.unwrap_or(LIFE),
        })
    }
}

/// Keeps the certificates until `stop` says true, if that is wanted.
pub async fn keep(
    settings: Option<Settings>,
    writer: Writer,
    caches: &Caches,
    stop: watch::Receiver<bool>,
) {
    if let Some(settings) = settings {
        let (hypervisors, nodes) = (caches.hypervisors.clone(), caches.nodes.clone());
        Keeper::new(settings, writer, hypervisors, nodes)
            .keep(stop)
            .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_read_and_short_ones_refused() {
        assert_eq!(life("2160h"), Ok(LIFE));
        assert!(life("30s").is_err() && life("soon").is_err() && life("-1h").is_err());
    }
}
