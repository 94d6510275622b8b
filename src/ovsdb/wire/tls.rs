//! TLS with certificates on both sides, as ovsdb-server asks for them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

/// What both sides are known by. Files are read anew for each connection, so that renewed certificates are taken up.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The authorities that servers' certificates come from, as PEM.
    pub authority: PathBuf,
    /// This client's certificate, and those between it and its authority, as PEM.
    pub certificate: PathBuf,
    /// The certificate's key, as PEM.
    pub key: PathBuf,
    /// The name in the servers' certificates, when it is not the one that they are reached by.
    pub server_name: Option<String>,
}

/// TLS cannot be set up with these files.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} {subject}: {reason}")]
pub struct TlsError {
    action: &'static str,
    subject: String,
    reason: String,
}

impl TlsError {
    fn new(action: &'static str, subject: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self {
            action,
            subject: subject.to_string(),
            reason: reason.to_string(),
        }
    }
}

impl Tls {
    /// The files of a folder as Kubernetes mounts a Secret of type `kubernetes.io/tls`: `ca.crt`, `tls.crt`, `tls.key`.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            authority: folder.join("ca.crt"),
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
            server_name: None,
        }
    }

    /// What makes connections to `host`, and the name that its certificate must have. Reads files: not to be called where
    /// waiting is forbidden for longer than that takes.
    pub(super) fn connector(
        &self,
        host: &str,
    ) -> Result<(TlsConnector, ServerName<'static>), TlsError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        let server = ServerName::try_from(name.to_owned())
            .map_err(|error| TlsError::new("take for a server's name", name, error))?;
        let mut authorities = RootCertStore::empty();
        for certificate in certificates(&self.authority)? {
            authorities
                .add(certificate)
                .map_err(|error| TlsError::new("trust", self.authority.display(), error))?;
        }
        let own = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| TlsError::new("read a key from", self.key.display(), error))?;
        // The provider is named here, so that this works whatever the process has installed.
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| {
                config
                    .with_root_certificates(authorities)
                    .with_client_auth_cert(own, key)
            })
            .map_err(|error| TlsError::new("use", self.certificate.display(), error))?;
        Ok((TlsConnector::from(Arc::new(config)), server))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found =
        read.map_err(|error| TlsError::new("read certificates from", path.display(), error))?;
    if found.is_empty() {
        return Err(TlsError::new(
            "read certificates from",
            path.display(),
            "there is none",
        ));
    }
    Ok(found)
}
