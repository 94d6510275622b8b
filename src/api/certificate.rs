//! The Secrets by which the parts of OVN know each other: their names, and what is in them. No kind of our own: what reads
//! certificates reads Kubernetes' Secrets.

use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

/// The type of all of them.
pub const SECRET_TYPE: &str = "kilonova.dev/certificate";

/// In the operator's namespace: the authority that all certificates come from.
pub const AUTHORITY: &str = "kilonova-ovn-ca";

/// In the operator's namespace: what the servers of the databases are known by, and ovn-northd.
pub const DATABASE: &str = "kilonova-ovn-database";

/// In the operator's namespace: what the operator is known by.
pub const OPERATOR: &str = "kilonova-ovn-operator";

/// In a node's namespace: what the node is known by, and where the southbound database is.
pub const NODE: &str = "ovn";

/// The certificates of the authority, as PEM.
pub const CA_CERTIFICATE: &str = "ca.crt";

/// The authority's key; in [`AUTHORITY`] only.
pub const CA_KEY: &str = "ca.key";

/// The certificate, as PEM.
pub const CERTIFICATE: &str = "tls.crt";

/// Its key, as PEM.
pub const KEY: &str = "tls.key";

/// Where the southbound database is, as `ovn-remote` says it; in [`NODE`] only.
pub const REMOTE: &str = "remote";

/// The address that tunnels to the node end at, if the operator knows one; in [`NODE`] only.
pub const UNDERLAY_ADDRESS: &str = "underlay-address";

/// An annotation of a Kubernetes node: the address that tunnels to it end at, where that is not its `InternalIP`.
pub const UNDERLAY_ANNOTATION: &str = "kilonova.dev/underlay-address";

/// What a Secret holds at a key, as text; nothing if it is not there, or empty.
pub fn text<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    let ByteString(bytes) = secret.data.as_ref()?.get(key)?;
    std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.is_empty())
}

/// A Secret of these texts.
pub fn secret<'a>(
    namespace: &str,
    name: &str,
    texts: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Secret {
    let data = texts
        .into_iter()
        .map(|(key, text)| (key.to_owned(), ByteString(text.as_bytes().to_vec())));
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(
                [("app.kubernetes.io/managed-by", "kilonova")]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
            ..ObjectMeta::default()
        },
        type_: Some(SECRET_TYPE.to_owned()),
        data: Some(data.collect()),
        ..Secret::default()
    }
}
