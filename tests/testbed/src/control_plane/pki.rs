//! The testbed's own certificate authority, the certificates of all that speak TLS or log in, and the key that
//! `ServiceAccount` tokens are signed with.
//!
//! Each is made once, when it is first needed; nothing outside of the testbed trusts the authority.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::layout::Layout;
use crate::record::write_file;
use crate::slot::Slot;

/// What the API server is called inside the cluster.
const SERVICE_NAMES: [&str; 5] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];
/// The first address of the service network, which is the API server's.
const SERVICE_ADDRESS: [u8; 4] = [10, 96, 0, 1];

/// Where keys and certificates are.
#[derive(Clone, Debug)]
pub struct Pki {
    folder: PathBuf,
}

/// Whose certificate it is, and what for.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// Kubernetes reads the user from the common name and the group from the organization.
    Client {
        user: &'a str,
        group: Option<&'a str>,
    },
    /// A server, by its addresses; `names` are DNS names.
    Server {
        name: &'a str,
        names: &'a [&'a str],
        addresses: &'a [IpAddr],
    },
}

impl Pki {
    /// Makes the authority and what the control plane needs, unless it is there.
    pub fn ensure(layout: &Layout, slot: Slot) -> Result<Self> {
        let pki = Self {
            folder: layout.pki(),
        };
        pki.make(slot)
            .context("failed to make the testbed's certificates")?;
        Ok(pki)
    }

    /// The authority's certificate, which clients verify the API server with.
    pub fn ca_certificate(&self) -> PathBuf {
        self.certificate("ca")
    }

    /// The key that signs `ServiceAccount` tokens.
    pub fn service_account_key(&self) -> PathBuf {
        self.key("service-account")
    }

    /// The key that verifies them.
    pub fn service_account_public_key(&self) -> PathBuf {
        self.folder.join("service-account.pub")
    }

    /// The certificate of `who`.
    pub fn certificate(&self, who: &str) -> PathBuf {
        self.folder.join(format!("{who}.crt"))
    }

    /// The key of `who`.
    pub fn key(&self, who: &str) -> PathBuf {
        self.folder.join(format!("{who}.key"))
    }

    /// Gives `who` a key and a certificate, unless it has them.
    pub fn issue(&self, who: &str, subject: Subject<'_>) -> Result<()> {
        if self.certificate(who).exists() {
            return Ok(());
        }
        let context = || format!("failed to issue a certificate for {who}");
        let text = std::fs::read_to_string(self.key("ca")).with_context(context)?;
        let authority = Issuer::new(authority(), KeyPair::from_pem(&text).with_context(context)?);
        let key = KeyPair::generate()?;
        let certificate = subject.params()?.signed_by(&key, &authority)?;
        write_file(&self.key(who), key.serialize_pem().as_bytes())?;
        // Written last, so its presence says that the key is there, too.
        write_file(&self.certificate(who), certificate.pem().as_bytes())
    }

    fn make(&self, slot: Slot) -> Result<()> {
        if !self.ca_certificate().exists() {
            let key = KeyPair::generate()?;
            write_file(&self.key("ca"), key.serialize_pem().as_bytes())?;
            let ca = authority().self_signed(&key)?;
            write_file(&self.ca_certificate(), ca.pem().as_bytes())?;
        }
        if !self.service_account_public_key().exists() {
            let key = KeyPair::generate()?;
            let private = key.serialize_pem();
            write_file(&self.service_account_key(), private.as_bytes())?;
            let public = key.public_key_pem();
            write_file(&self.service_account_public_key(), public.as_bytes())?;
        }
        let server = Subject::Server {
            name: "kube-apiserver",
            names: &SERVICE_NAMES,
            addresses: &[slot.host_address().into(), SERVICE_ADDRESS.into()],
        };
        self.issue("apiserver", server)?;
        for (who, user, group) in CLIENTS {
            self.issue(who, Subject::Client { user, group })?;
        }
        Ok(())
    }
}

/// Who of the control plane logs in somewhere: file, user and group.
const CLIENTS: [(&str, &str, Option<&str>); 5] = [
    ("admin", "devstack-admin", Some("system:masters")),
    ("controller-manager", "system:kube-controller-manager", None),
    ("scheduler", "system:kube-scheduler", None),
    ("proxy", "system:kube-proxy", None),
    // The API server, to kubelets: logs, exec, port-forward.
    (
        "apiserver-kubelet",
        "kube-apiserver-kubelet-client",
        Some("system:masters"),
    ),
];

/// A kubeconfig for whoever has `user`'s credentials.
pub fn kubeconfig(slot: Slot, ca: &Path, user: &serde_json::Value) -> Result<Vec<u8>> {
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "devstack", "cluster": {
            "server": super::server_url(slot),
            "certificate-authority-data": base64_of(ca)?,
        }}],
        "users": [{"name": "devstack", "user": user}],
        "contexts": [{"name": "devstack", "context": {"cluster": "devstack", "user": "devstack"}}],
        "current-context": "devstack",
    });
    serde_json::to_vec_pretty(&config).context("failed to write a kubeconfig") // JSON is YAML
}

/// A file as kubeconfigs embed it.
pub(super) fn base64_of(path: &Path) -> Result<String> {
    use base64::Engine;
    let content =
        std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    Ok(base64::engine::general_purpose::STANDARD.encode(content))
}

/// What the authority is, apart from its key: the same each time, since certificates name it.
fn authority() -> CertificateParams {
    let mut params = named("devstack", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params
}

impl Subject<'_> {
    fn params(self) -> Result<CertificateParams> {
        match self {
            Self::Client { user, group } => {
                let mut params = named(user, group);
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                Ok(params)
            }
            Self::Server {
                name,
                names,
                addresses,
            } => {
                let mut params = named(name, None);
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                for name in names {
                    let name = (*name).try_into()?;
                    params.subject_alt_names.push(SanType::DnsName(name));
                }
                let addresses = addresses.iter().copied().map(SanType::IpAddress);
                params.subject_alt_names.extend(addresses);
                Ok(params)
            }
        }
    }
}

/// rcgen's default period of validity (1975 to 4096) is what a testbed wants: it never ends.
fn named(user: &str, group: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, user);
    if let Some(group) = group {
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
    }
    params
}
