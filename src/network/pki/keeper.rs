//! Keeps the certificates: looks at the Secrets, asks the plan, issues, writes. Runs while the operator leads.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::ResourceExt;
use tokio::{sync::watch, time};
use tracing::{info, warn};

use crate::{
    api::{certificate, hypervisor::Hypervisor},
    cluster::{
        Cache, Writer,
        request::{self, read},
        telemetry,
    },
    ovsdb::Endpoint,
};

use super::{
    certificate::{Authority, CertificateError},
    files,
    plan::{self, AUTHORITY_LIFE, Verdict, Wanted},
    remote,
};

/// How often everything is looked at although nothing was announced: somebody may have taken a Secret away.
const EVERY: Duration = Duration::from_mins(10);

/// How soon is tried again what failed.
const AFTER_FAILURE: Duration = Duration::from_secs(3);

/// The least time between two rounds.
const PAUSE: Duration = Duration::from_millis(500);

/// What the certificates are for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's namespace.
    pub namespace: String,
    /// Where nodes find the southbound database.
    pub southbound: Vec<Endpoint>,
    /// Under which names the databases are reached.
    pub names: Vec<String>,
    /// Where the operator's own certificate is put, for its sessions with the databases.
    pub folder: Option<PathBuf>,
    /// How long certificates live.
    pub life: Duration,
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Request(#[from] request::Error),
    #[error("the certificates of OVN cannot be made")]
    Certificate(#[from] CertificateError),
    #[error(
        "Secret {0}/{name} holds no authority: it lacks `ca.crt` or `ca.key`. Put them back; if they are lost, delete \
         the Secret, and everybody gets new certificates",
        name = certificate::AUTHORITY
    )]
    NoAuthority(String),
    #[error("failed to write the operator's certificate to {folder}")]
    Files {
        folder: String,
        #[source]
        source: std::io::Error,
    },
    #[error("nodes cannot be told where OVN is: {0}")]
    Remote(String),
}

/// Keeps the certificates.
pub struct Keeper {
    settings: Settings,
    writer: Writer,
    hypervisors: Arc<Cache<Hypervisor>>,
    nodes: Arc<Cache<Node>>,
    /// What was seen to be good, and until when, by the Secret's namespace.
    good: BTreeMap<String, (Wanted, String, Timestamp)>,
    /// Whether it was said that somebody's own authority is old.
    has_warned: bool,
}

impl Keeper {
    /// One that has looked at nothing.
    pub fn new(
        settings: Settings,
        writer: Writer,
        hypervisors: Arc<Cache<Hypervisor>>,
        nodes: Arc<Cache<Node>>,
    ) -> Self {
        Self {
            settings,
            writer,
            hypervisors,
            nodes,
            good: BTreeMap::new(),
            has_warned: false,
        }
    }

    /// Keeps them until `stop` says true.
    pub async fn keep(mut self, mut stop: watch::Receiver<bool>) {
        let hypervisors = self.hypervisors.changes().map(drop).boxed();
        let nodes = self.nodes.changes().map(drop).boxed();
        let mut news = stream::select(hypervisors, nodes);
        let mut said = None;
        // News comes more often than that: each kubelet writes its node's status.
        let mut everything = time::Instant::now() + EVERY;
        loop {
            if everything <= time::Instant::now() {
                self.good.clear();
                everything = time::Instant::now() + EVERY;
            }
            let wait = match self.round().await {
                Ok(due) => {
                    if said.take().is_some() {
                        info!("OVN's certificates are in order again");
                    }
                    let now = Timestamp::now();
                    let due = Duration::try_from(due.duration_since(now)).unwrap_or_default();
                    due.clamp(PAUSE, EVERY)
                }
                Err(trouble) => {
                    let trouble = telemetry::chain(&trouble);
                    if said.as_ref() != Some(&trouble) {
                        warn!("{trouble}; it is tried again");
                        said = Some(trouble);
                    }
                    AFTER_FAILURE
                }
            };
            let again = everything.min(time::Instant::now() + wait);
            tokio::select! {
                () = time::sleep_until(again) => {}
                Some(()) = news.next() => {
                    time::sleep(PAUSE).await;
                    while let Some(Some(())) = news.next().now_or_never() {}
                }
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Looks at everything; says when the next certificate is due.
    async fn round(&mut self) -> Result<Timestamp, Trouble> {
        let (authority, mut due) = self.authority().await?;
        let [database, operator] = plan::central(&self.settings.namespace, &self.settings.names);
        let (_, until) = self.ensure(&database, &authority).await?;
        due = due.min(until);
        let (secret, until) = self.ensure(&operator, &authority).await?;
        due = due.min(until);
        if let Some(folder) = &self.settings.folder {
            files::write(folder, &secret).map_err(|source| Trouble::Files {
                folder: folder.display().to_string(),
                source,
            })?;
        }
        if self.settings.southbound.is_empty() {
            return Ok(due);
        }
        let remote = remote::resolve(&self.settings.southbound).await;
        let remote = remote.map_err(Trouble::Remote)?;
        let mut failed = None;
        let hypervisors = self.hypervisors.all().into_iter();
        for hypervisor in hypervisors.filter(|one| one.metadata.deletion_timestamp.is_none()) {
            let name = hypervisor.name_any();
            let node = self.nodes.get(None, &name);
            let wanted = plan::node(&name, node.as_deref(), &remote);
            // One node's trouble is not another's.
            match self.ensure_known(wanted, &authority).await {
                Ok(until) => due = due.min(until),
                Err(trouble) => failed = Some(trouble),
            }
        }
        failed.map_or(Ok(due), Err)
    }

    /// The authority: made if there is none, renewed when it is due, and never replaced.
    async fn authority(&mut self) -> Result<(Authority, Timestamp), Trouble> {
        let namespace = &self.settings.namespace.clone();
        let found = match self.read(namespace, certificate::AUTHORITY).await? {
            Some(found) => found,
            None => self.make_authority().await?,
        };
        let text = |key| {
            certificate::text(&found, key).ok_or_else(|| Trouble::NoAuthority(namespace.clone()))
        };
        let (pem, key) = (
            text(certificate::CA_CERTIFICATE)?,
            text(certificate::CA_KEY)?,
        );
        let ours = found.type_.as_deref() == Some(certificate::SECRET_TYPE);
        let due = super::certificate::read(pem)
            .as_ref()
            .map_or(Timestamp::MAX, plan::due);
        let now = Timestamp::now();
        // An authority that somebody brought is theirs to renew.
        if !ours && due <= now && !std::mem::replace(&mut self.has_warned, true) {
            warn!(
                namespace,
                name = certificate::AUTHORITY,
                "the authority of OVN's certificates has lived for two thirds of its life: whoever brought it should renew it"
            );
        }
        if !ours || now < due {
            let due = if ours { due } else { Timestamp::MAX };
            return Ok((Authority::read(pem, key)?, due));
        }
        info!("the certificate of OVN's authority is renewed");
        let made = Authority::make(Some(key), plan::span(now, AUTHORITY_LIFE))?;
        let texts = [
            (certificate::CA_CERTIFICATE, made.certificate.as_str()),
            (certificate::CA_KEY, key),
        ];
        let secret = certificate::secret(namespace, certificate::AUTHORITY, texts);
        self.writer.apply(&secret).await?;
        let due = super::certificate::read(&made.certificate)
            .as_ref()
            .map_or(Timestamp::MAX, plan::due);
        Ok((Authority::read(&made.certificate, key)?, due))
    }

    async fn make_authority(&self) -> Result<Secret, Trouble> {
        let namespace = &self.settings.namespace;
        info!(namespace, "there is no authority for OVN: one is made");
        let made = Authority::make(None, plan::span(Timestamp::now(), AUTHORITY_LIFE))?;
        let texts = [
            (certificate::CA_CERTIFICATE, made.certificate.as_str()),
            (certificate::CA_KEY, made.key.as_str()),
        ];
        let secret = certificate::secret(namespace, certificate::AUTHORITY, texts);
        // Not applied: one that somebody has made meanwhile stays, and is read.
        self.writer.create(&secret).await?;
        let found = self.read(namespace, certificate::AUTHORITY).await?;
        found.ok_or_else(|| Trouble::NoAuthority(namespace.clone()))
    }

    /// The same as [`Self::ensure`], without a look at the Secret if it was good and is not due.
    async fn ensure_known(
        &mut self,
        wanted: Wanted,
        authority: &Authority,
    ) -> Result<Timestamp, Trouble> {
        let now = Timestamp::now();
        if let Some((known, signed_by, until)) = self.good.get(&wanted.namespace)
            && *known == wanted
            && *signed_by == authority.certificate
            && *until > now
        {
            return Ok(*until);
        }
        let (_, until) = self.ensure(&wanted, authority).await?;
        let good = (wanted.clone(), authority.certificate.clone(), until);
        self.good.insert(wanted.namespace, good);
        Ok(until)
    }

    /// Makes a certificate good; its Secret, and until when it is.
    async fn ensure(
        &self,
        wanted: &Wanted,
        authority: &Authority,
    ) -> Result<(Secret, Timestamp), Trouble> {
        let Wanted {
            namespace, name, ..
        } = wanted;
        let found = self.read(namespace, name).await?;
        let pem = found
            .as_ref()
            .and_then(|found| certificate::text(found, certificate::CERTIFICATE));
        let said = pem.and_then(super::certificate::read);
        let now = Timestamp::now();
        let verdict = plan::judge(
            wanted,
            found.as_ref(),
            said.as_ref(),
            &authority.certificate,
            now,
        );
        let (secret, until) = match (verdict, found) {
            (Verdict::Good(until), Some(found)) => return Ok((found, until)),
            (Verdict::Tell(until), Some(found)) => {
                let text = |key| certificate::text(&found, key).unwrap_or_default();
                let (pem, key) = (text(certificate::CERTIFICATE), text(certificate::KEY));
                let secret = plan::secret(wanted, &authority.certificate, pem, key);
                (secret, until)
            }
            (verdict, _) => {
                let why = match verdict {
                    Verdict::Issue(why) => why,
                    Verdict::Good(_) | Verdict::Tell(_) => "there is none",
                };
                info!(namespace, name, why, "a certificate is issued");
                let span = plan::span(now, self.settings.life);
                let issued = authority.issue(&wanted.common_name, &wanted.names, span)?;
                let until = super::certificate::read(&issued.certificate)
                    .as_ref()
                    .map_or(now, plan::due);
                let secret = plan::secret(
                    wanted,
                    &authority.certificate,
                    &issued.certificate,
                    &issued.key,
                );
                (secret, until)
            }
        };
        self.writer.apply(&secret).await?;
        Ok((secret, until))
    }

    async fn read(&self, namespace: &str, name: &str) -> request::Result<Option<Secret>> {
        read(&self.writer.client(), Some(namespace), name).await
    }
}
