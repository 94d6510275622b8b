//! Connects the host's Open vSwitch with OVN: puts the node's certificate on the disk, and tells the switch its name, where
//! OVN is, and where the certificate is. ovn-controller, which is the host's, does the rest, and makes the integration
//! bridge if there is none.
//!
//! It writes only what differs, and never what an administrator has set: see [`plan`].

use std::{path::PathBuf, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use tokio::time;
use tracing::{info, warn};

use crate::{
    api::certificate::{self, CA_CERTIFICATE, CERTIFICATE, KEY},
    cluster::{
        request::{self, read},
        telemetry,
    },
    ovsdb::{
        Condition, Endpoint, Limits, Member, Monitors, Mutation, Readiness, Row, Session,
        Settings as SessionSettings, Table, TransactError, Transaction, Uuid,
        vswitch::{
            self, Texts,
            settled::{OpenVswitch, Ssl},
        },
    },
};

use super::files;
use plan::{Decision, Wanted};

pub mod plan;

/// How often the Secret is read. Certificates are renewed a month before they end.
const EVERY: Duration = Duration::from_mins(1);

/// How soon is tried again what failed.
const SOON: Duration = Duration::from_secs(3);

/// How soon a Secret that is not there is asked for again; then twice as late each time, since where somebody else sets the
/// hosts up there will never be one.
const ABSENT: Duration = Duration::from_secs(1);

/// Only for the host's administrator, and his programs.
const MODE: u32 = 0o600;

/// Whose switch it is, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The node's name.
    pub node: String,
    /// The node's namespace.
    pub namespace: String,
    /// Where certificates are put: a folder of the host, at the same path for the agent as for ovn-controller.
    pub folder: PathBuf,
    /// Where the switch's database listens.
    pub socket: PathBuf,
}

/// Why the switch is not connected.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Request(#[from] request::Error),
    #[error("Secret {0} lacks `{1}`; the operator writes it anew if it is deleted")]
    Lacks(String, &'static str),
    #[error("failed to write {path}")]
    File {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the database of the host's Open vSwitch cannot be used: {0}")]
    Switch(String),
    #[error(transparent)]
    Transact(#[from] TransactError),
}

/// Keeps the switch connected. Does not end.
pub async fn keep_connected(settings: Settings, client: Client) {
    let keeper = Keeper {
        session: Session::start(SessionSettings {
            database: vswitch::DATABASE.to_owned(),
            endpoints: vec![Endpoint::Unix(settings.socket.clone())],
            tls: None,
            member: Member::Leader,
            monitors: Monitors::new().table::<OpenVswitch>().table::<Ssl>(),
            limits: Limits::default(),
        }),
        settings,
        client,
    };
    let mut changes = keeper.session.replica().changes();
    let mut said = Vec::new();
    let mut absent = ABSENT;
    loop {
        let (wait, now) = match keeper.round().await {
            Ok(Some(decision)) => {
                absent = ABSENT;
                (EVERY, decision.left_alone)
            }
            Ok(None) => {
                let wait = absent;
                absent = EVERY.min(absent * 2);
                (wait, Vec::new())
            }
            Err(trouble) => (SOON, vec![telemetry::chain(&trouble)]),
        };
        for trouble in now.iter().filter(|trouble| !said.contains(*trouble)) {
            warn!("{trouble}");
        }
        said = now;
        // Somebody may have changed what is ours.
        tokio::select! {
            () = time::sleep(wait) => {}
            Some(_) = changes.next() => time::sleep(SOON).await,
        }
    }
}

/// What the database of the switch says.
struct Found {
    /// Its one row.
    root: Uuid,
    texts: Texts,
    /// The row of files, if there is one.
    files: Option<(Uuid, Ssl)>,
}

struct Keeper {
    settings: Settings,
    client: Client,
    session: Session,
}

impl Keeper {
    /// Makes all of it so once; what was decided, or nothing as long as the operator has said nothing.
    async fn round(&self) -> Result<Option<Decision>, Trouble> {
        let namespace = &self.settings.namespace;
        let secret: Option<Secret> = read(&self.client, Some(namespace), certificate::NODE).await?;
        let Some(secret) = secret else {
            return Ok(None);
        };
        let wanted = self.wanted(&secret)?;
        self.write_files(&secret)?;
        self.wait_ready().await?;
        let found = self.found()?;
        let files = found.files.as_ref().map(|(_, files)| files);
        let decision = plan::decide(&wanted, &found.texts, files);
        if !decision.is_nothing() {
            self.write(&decision, found, &wanted).await?;
            info!(
                remote = wanted.remote,
                "the host's Open vSwitch was told of OVN"
            );
        }
        Ok(Some(decision))
    }

    fn wanted(&self, secret: &Secret) -> Result<Wanted, Trouble> {
        let path = |name: &str| self.settings.folder.join(name).display().to_string();
        let remote = certificate::text(secret, certificate::REMOTE);
        Ok(Wanted {
            node: self.settings.node.clone(),
            remote: remote
                .ok_or_else(|| self.lacks(certificate::REMOTE))?
                .to_owned(),
            underlay_address: certificate::text(secret, certificate::UNDERLAY_ADDRESS)
                .map(str::to_owned),
            files: Ssl {
                private_key: path(KEY),
                certificate: path(CERTIFICATE),
                ca_cert: path(CA_CERTIFICATE),
                ..Ssl::default()
            },
        })
    }

    fn lacks(&self, key: &'static str) -> Trouble {
        let name = format!("{}/{}", self.settings.namespace, certificate::NODE);
        Trouble::Lacks(name, key)
    }

    /// The key last: a certificate is taken up together with its key when that has changed, too.
    fn write_files(&self, secret: &Secret) -> Result<(), Trouble> {
        let folder = &self.settings.folder;
        let failed = |path: &std::path::Path| {
            let path = path.display().to_string();
            move |source| Trouble::File { path, source }
        };
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
        for name in [CA_CERTIFICATE, CERTIFICATE, KEY] {
            let content = certificate::text(secret, name).ok_or_else(|| self.lacks(name))?;
            let path = folder.join(name);
            if !std::fs::read_to_string(&path).is_ok_and(|found| found == content) {
                files::replace(&path, content.as_bytes(), MODE).map_err(failed(&path))?;
            }
        }
        Ok(())
    }

    async fn wait_ready(&self) -> Result<(), Trouble> {
        let ready = time::timeout(SOON, self.session.ready()).await;
        ready.map_err(|_| match &*self.session.readiness().borrow() {
            Readiness::Waiting { reason } => Trouble::Switch(reason.clone()),
            Readiness::Ready { .. } => Trouble::Switch("it was just away".to_owned()),
        })
    }

    fn found(&self) -> Result<Found, Trouble> {
        let strange = |error| Trouble::Switch(format!("{error}"));
        let view = self.session.replica().view();
        let root = view.rows::<OpenVswitch>().next();
        let Some((root, row)) = root.transpose().map_err(strange)? else {
            let why = "it was never set up: `ovs-vsctl init` does that";
            return Err(Trouble::Switch(why.to_owned()));
        };
        let files = match row.ssl.and_then(|reference| reference.uuid()) {
            Some(uuid) => view
                .get::<Ssl>(uuid)
                .map_err(strange)?
                .map(|row| (uuid, row)),
            None => None,
        };
        Ok(Found {
            root,
            texts: row.external_ids,
            files,
        })
    }

    async fn write(
        &self,
        decision: &Decision,
        found: Found,
        wanted: &Wanted,
    ) -> Result<(), Trouble> {
        let mut transaction = Transaction::new();
        transaction.comment("kilonova: connects this host with OVN");
        let there = [Condition::row(found.root)];
        if !decision.texts.is_empty() {
            let keys: std::collections::BTreeSet<String> = decision.texts.keys().cloned().collect();
            let changes = [
                Mutation::delete("external_ids", keys),
                Mutation::insert("external_ids", decision.texts.clone()),
            ];
            transaction.mutate::<OpenVswitch>(&there, changes);
        }
        if decision.names_files {
            if let Some((uuid, found)) = found.files {
                let row = Ssl {
                    external_ids: found.external_ids.clone(),
                    ..wanted.files.clone()
                };
                let changed = row.to_row().difference(&found.to_row());
                transaction.update::<Ssl>(&[Condition::row(uuid)], changed);
            } else {
                let inserted = transaction.insert(&wanted.files);
                let ssl = Row::new().with("ssl", Some(inserted.reference()));
                transaction.update::<OpenVswitch>(&there, ssl);
            }
        }
        self.session.transact(&transaction).await?;
        Ok(())
    }
}
