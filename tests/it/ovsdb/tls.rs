//! TLS with certificates on both sides.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kilonova::ovsdb::{Endpoint, Session, Tls, Transaction};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use tempfile::{TempDir, tempdir};
use tokio::time;

use super::server::{Server, free_port};
use super::{SOON, ready, settings, switch};

/// An authority, and where its certificates are.
struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Result<Self> {
        let folder = folder.join(name);
        std::fs::create_dir(&folder)?;
        let key = KeyPair::generate()?;
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(folder.join("ca.crt"), params.self_signed(&key)?.pem())?;
        let issuer = Issuer::new(params, key);
        Ok(Self { folder, issuer })
    }

    fn issue(&self, who: &str, names: Vec<SanType>) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut params = params(who);
        params.subject_alt_names = names;
        let certificate = params.signed_by(&key, &self.issuer)?;
        std::fs::write(self.path(who, "crt"), certificate.pem())?;
        std::fs::write(self.path(who, "key"), key.serialize_pem())?;
        Ok(())
    }

    fn path(&self, who: &str, extension: &str) -> PathBuf {
        self.folder.join(format!("{who}.{extension}"))
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A server at a port of its own, the authority that it trusts, and a stranger.
async fn server(folder: &TempDir) -> Result<(Server, Endpoint, Authority, Authority)> {
    let ours = Authority::new(folder.path(), "ours")?;
    let strange = Authority::new(folder.path(), "strange")?;
    let address = SanType::IpAddress(Ipv4Addr::LOCALHOST.into());
    ours.issue(
        "server",
        vec![address, SanType::DnsName("ovn-nb".try_into()?)],
    )?;
    for authority in [&ours, &strange] {
        authority.issue("client", Vec::new())?;
    }
    let port = free_port()?;
    let arguments = [
        format!("--remote=pssl:{port}:127.0.0.1"),
        format!("--private-key={}", ours.path("server", "key").display()),
        format!("--certificate={}", ours.path("server", "crt").display()),
        format!("--ca-cert={}", ours.path("ca", "crt").display()),
    ];
    let server = Server::standalone_with(folder, &arguments).await?;
    let endpoint = Endpoint::Ssl {
        host: "127.0.0.1".to_owned(),
        port,
    };
    Ok((server, endpoint, ours, strange))
}

/// What a client has that trusts one authority and was certified by another.
fn tls(trusted: &Authority, certified: &Authority) -> Tls {
    Tls {
        authority: trusted.path("ca", "crt"),
        certificate: certified.path("client", "crt"),
        key: certified.path("client", "key"),
        server_name: None,
    }
}

/// Waits until a session says this of the server. At first that may not listen at its port yet.
async fn refused(endpoint: &Endpoint, tls: Tls, says: &str) -> Result<()> {
    let mut settings = settings(vec![endpoint.clone()]);
    settings.tls = Some(tls);
    let session = Session::start(settings);
    let mut readiness = session.readiness();
    let said = readiness.wait_for(|readiness| {
        assert!(!readiness.is_ready(), "{says}");
        format!("{readiness:?}").contains(says)
    });
    let said = time::timeout(SOON, said).await;
    said.with_context(|| format!("{says}: {:?}", *session.readiness().borrow()))??;
    Ok(())
}

#[tokio::test]
async fn both_sides_know_each_other() -> Result<()> {
    let folder = tempdir()?;
    let (_server, endpoint, ours, _) = server(&folder).await?;
    for server_name in [None, Some("ovn-nb".to_owned())] {
        let mut settings = settings(vec![endpoint.clone()]);
        settings.tls = Some(Tls {
            server_name,
            ..tls(&ours, &ours)
        });
        let session = ready(settings).await?;
        let mut transaction = Transaction::new();
        transaction.insert(&switch("a"));
        session.transact(&transaction).await?;
    }
    Ok(())
}

#[tokio::test]
async fn strangers_are_refused_with_the_reason() -> Result<()> {
    let folder = tempdir()?;
    let (_server, endpoint, ours, strange) = server(&folder).await?;
    let other_name = Tls {
        server_name: Some("other".to_owned()),
        ..tls(&ours, &ours)
    };
    let no_key = Tls {
        key: folder.path().join("none"),
        ..tls(&ours, &ours)
    };
    let other_key = Tls {
        key: strange.path("client", "key"),
        ..tls(&ours, &ours)
    };
    for (tls, says) in [
        (tls(&strange, &ours), "UnknownIssuer"),
        (tls(&ours, &strange), "the connection broke"),
        (other_name, "not valid for name"),
        (no_key, "failed to read a key from"),
        (other_key, "failed to use"),
    ] {
        refused(&endpoint, tls, says).await?;
    }
    Ok(())
}
