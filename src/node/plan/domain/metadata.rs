//! `<title>` and `<metadata>`: for whom a domain is, and how the agent knows it again.

use quick_xml::DeError;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::api::guest::ServerIdentity;

/// The XML namespace of our mark. The number changes when an older agent could misread a newer mark.
pub const MARK_NAMESPACE: &str = "https://kilonova.dev/ns/guest/1";

/// What says that a domain is ours, and which version of a guest it was made from.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The UID of the `Hypervisor` whose agent made it: other clusters may have an agent at the same libvirt. Absent in
    /// marks that were made before there was one.
    #[serde(rename = "@hypervisor", default)]
    pub hypervisor: Option<String>,
    /// The binding under which the domain runs.
    #[serde(rename = "@epoch")]
    pub epoch: i64,
    /// SHA-256 of the definition without its mark. Equal digests: nothing to redefine.
    #[serde(rename = "@digest")]
    pub digest: String,
}

/// A mark that cannot be read.
#[derive(Debug, Error)]
#[error("could not read a domain's mark")]
pub struct MarkError(#[source] DeError);

impl Mark {
    /// Reads the element that libvirt gives back for `MARK_NAMESPACE`, with or without its prefix.
    pub fn from_xml(xml: &str) -> Result<Self, MarkError> {
        quick_xml::de::from_str(xml).map_err(MarkError)
    }
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    #[serde(rename = "kilonova:guest")]
    guest: Guest,
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Guest {
    #[serde(rename = "@xmlns:kilonova")]
    namespace: &'static str,
    #[serde(rename = "@hypervisor", skip_serializing_if = "Option::is_none")]
    hypervisor: Option<String>,
    #[serde(rename = "@epoch")]
    epoch: i64,
    #[serde(rename = "@digest")]
    digest: String,
}

impl Metadata {
    pub(super) fn of(mark: Mark) -> Self {
        let Mark {
            hypervisor,
            epoch,
            digest,
        } = mark;
        Self {
            guest: Guest {
                namespace: MARK_NAMESPACE,
                hypervisor,
                epoch,
                digest,
            },
        }
    }
}

/// `project/name`, for people who list domains on the host. libvirt refuses titles with line breaks and XML has no
/// way to write control characters, so both become spaces.
pub(super) fn title(server: &ServerIdentity) -> String {
    format!("{}/{}", server.namespace, server.name)
        .chars()
        .map(|letter| match letter {
            '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}' => ' ',
            letter if letter.is_control() => ' ',
            letter => letter,
        })
        .collect()
}
