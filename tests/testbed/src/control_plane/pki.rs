//! The testbed's own certificate authority: one for the API server, clients that may do everything, and the key that
//! `ServiceAccount` tokens are signed with.
//!
//! Made once, when the testbed is; nothing outside of the testbed trusts it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
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

impl Pki {
    /// Makes everything, unless it is there.
    pub fn ensure(layout: &Layout, slot: Slot) -> Result<Self> {
        let pki = Self {
            folder: layout.pki(),
        };
        // Written last, so its presence says that everything else is there.
        if !pki.ca_certificate().exists() {
            pki.make(slot)
                .context("failed to make the testbed's certificates")?;
        }
        Ok(pki)
    }

    /// The authority's certificate, which clients verify the API server with.
    pub fn ca_certificate(&self) -> PathBuf {
        self.folder.join("ca.crt")
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

    fn make(&self, slot: Slot) -> Result<()> {
        let ca = authority()?;
        self.issue(&ca, "apiserver", &server(slot)?)?;
        self.issue(
            &ca,
            "admin",
            &client("devstack-admin", Some("system:masters")),
        )?;
        self.issue(
            &ca,
            "controller-manager",
            &client("system:kube-controller-manager", None),
        )?;
        let signing = KeyPair::generate()?;
        write_file(
            &self.service_account_key(),
            signing.serialize_pem().as_bytes(),
        )?;
        write_file(
            &self.service_account_public_key(),
            signing.public_key_pem().as_bytes(),
        )?;
        write_file(&self.ca_certificate(), ca.pem().as_bytes())
    }

    fn issue(
        &self,
        ca: &CertifiedIssuer<'_, KeyPair>,
        who: &str,
        params: &CertificateParams,
    ) -> Result<()> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, ca)?;
        write_file(&self.key(who), key.serialize_pem().as_bytes())?;
        write_file(&self.certificate(who), certificate.pem().as_bytes())
    }
}

/// A kubeconfig for whoever has `user`'s credentials.
pub fn kubeconfig(slot: Slot, ca: &Path, user: &serde_json::Value) -> Result<Vec<u8>> {
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "devstack", "cluster": {
            "server": format!("https://{}:{}", slot.host_address(), super::API_PORT),
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

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = named("devstack", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn server(slot: Slot) -> Result<CertificateParams> {
    let mut params = named("kube-apiserver", None);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    for name in SERVICE_NAMES {
        params
            .subject_alt_names
            .push(SanType::DnsName(name.try_into()?));
    }
    let addresses = [
        IpAddr::from(slot.host_address()),
        IpAddr::from(SERVICE_ADDRESS),
    ];
    params
        .subject_alt_names
        .extend(addresses.map(SanType::IpAddress));
    Ok(params)
}

fn client(user: &str, group: Option<&str>) -> CertificateParams {
    let mut params = named(user, group);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// Kubernetes reads the user from the common name and the group from the organization. rcgen's default period of
/// validity (1975 to 4096) is what a testbed wants: it never ends.
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
