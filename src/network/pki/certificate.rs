//! Makes certificates and reads them. Decides nothing: see `plan`.

use std::time::SystemTime;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use x509_parser::{extensions::GeneralName, pem::Pem};

use super::plan::{AUTHORITY_NAME, Said};

/// A certificate, or a key, is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action}: {reason}")]
pub struct CertificateError {
    action: &'static str,
    reason: String,
}

fn failed(action: &'static str) -> impl Fn(rcgen::Error) -> CertificateError {
    move |error| CertificateError {
        action,
        reason: error.to_string(),
    }
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// Who signs.
pub struct Authority {
    /// Its certificate, as PEM.
    pub certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// One that is there.
    pub fn read(certificate: &str, key: &str) -> Result<Self, CertificateError> {
        let key = KeyPair::from_pem(key).map_err(failed("read the authority's key"))?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key);
        Ok(Self {
            certificate: certificate.to_owned(),
            issuer: issuer.map_err(failed("read the authority's certificate"))?,
        })
    }

    /// A certificate of an authority: of a new one, or of one that has this key.
    pub fn make(
        key: Option<&str>,
        (begins, ends): (Timestamp, Timestamp),
    ) -> Result<Issued, CertificateError> {
        let key = match key {
            Some(key) => KeyPair::from_pem(key),
            None => KeyPair::generate(),
        }
        .map_err(failed("have a key for the authority"))?;
        let mut params = params(AUTHORITY_NAME, begins, ends);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params
            .self_signed(&key)
            .map_err(failed("make the authority's certificate"))?;
        Ok(Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// Certifies somebody, with a new key.
    pub fn issue(
        &self,
        common_name: &str,
        names: &[String],
        (begins, ends): (Timestamp, Timestamp),
    ) -> Result<Issued, CertificateError> {
        let key = KeyPair::generate().map_err(failed("make a key"))?;
        let mut params = params(common_name, begins, ends);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Members of a cluster are clients of each other. Who has no names is nobody's server: a node must not be taken for one
        // of the databases.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !names.is_empty() {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let wanted = CertificateParams::new(names).map_err(failed("certify such a name"))?;
        params.subject_alt_names = wanted.subject_alt_names;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(failed("sign a certificate"))?;
        Ok(Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn params(common_name: &str, begins: Timestamp, ends: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = SystemTime::from(begins).into();
    params.not_after = SystemTime::from(ends).into();
    params
}

/// What a certificate says; nothing if it cannot be read.
pub fn read(certificate: &str) -> Option<Said> {
    let pem = Pem::iter_from_buffer(certificate.as_bytes()).next()?.ok()?;
    let certificate = pem.parse_x509().ok()?;
    let common_name = certificate.subject().iter_common_name().next()?;
    let names = match certificate.subject_alternative_name().ok()? {
        Some(names) => names.value.general_names.iter().filter_map(name).collect(),
        None => Vec::new(),
    };
    let validity = certificate.validity();
    Some(Said {
        common_name: common_name.as_str().ok()?.to_owned(),
        names,
        begins: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
        ends: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(four) => Some(std::net::Ipv4Addr::from(four).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|sixteen| std::net::Ipv6Addr::from(sixteen).to_string()),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::pki::plan::{AUTHORITY_LIFE, LIFE, span};

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn what_is_certified_can_be_read_again() {
        let made = Authority::make(None, span(now(), AUTHORITY_LIFE)).unwrap();
        let authority = Authority::read(&made.certificate, &made.key).unwrap();
        let names = ["*.ovn.svc".to_owned(), "10.0.0.1".to_owned()];
        let (begins, ends) = span(now(), LIFE);
        let issued = authority.issue("n1", &names, (begins, ends)).unwrap();
        let said = read(&issued.certificate).unwrap();
        let expected = Said {
            common_name: "n1".to_owned(),
            names: names.to_vec(),
            begins,
            ends,
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn what_an_authority_has_signed_stays_good_when_its_certificate_is_renewed() {
        let old = Authority::make(None, span(now(), AUTHORITY_LIFE)).unwrap();
        let authority = Authority::read(&old.certificate, &old.key).unwrap();
        let issued = authority.issue("n1", &[], span(now(), LIFE)).unwrap();
        let later = now() + AUTHORITY_LIFE / 2;
        let new = Authority::make(Some(&old.key), span(later, AUTHORITY_LIFE)).unwrap();
        let stranger = Authority::make(None, span(now(), AUTHORITY_LIFE)).unwrap();
        assert_ne!(new.certificate, old.certificate);
        let signed_by = |authority: &str| {
            let [issued, authority] = [issued.certificate.as_str(), authority].map(|text| {
                Pem::iter_from_buffer(text.as_bytes())
                    .next()
                    .unwrap()
                    .unwrap()
            });
            let (issued, authority) = (
                issued.parse_x509().unwrap(),
                authority.parse_x509().unwrap(),
            );
            issued.issuer() == authority.subject()
                && issued
                    .verify_signature(Some(authority.public_key()))
                    .is_ok()
        };
        assert!(signed_by(&old.certificate) && signed_by(&new.certificate));
        assert!(!signed_by(&stranger.certificate));
    }
}
