//! Why an image could not be had: in words for the user, and what may help.
//!
//! A message must never show a credential that an address contains.

use std::{error::Error, fmt::Write as _, io, time::Duration};

use reqwest::{StatusCode, Url};

use super::CacheError;
use crate::node::plan::image_format::{Content, Unsafe};

/// What of an address goes into a message.
const URL_CHARS_MAX: usize = 200;

/// What may help after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Time.
    TrySoon,
    /// Somebody who mends it, or more time.
    TrySlowly,
    /// Another transfer, if the first one was damaged.
    TryOnceMore,
    /// Somebody who has use for a larger file, or another content.
    AllowMore,
    /// Nothing: the same content will be refused again.
    Never,
}

/// Why an image could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum DownloadError {
    #[error("the address {url} cannot be used: it must be an http:// or https:// address")]
    BadAddress { url: String },
    #[error("{url} cannot be reached")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url} leads nowhere")]
    Redirect {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url} answers {status}{}", reason(*status))]
    Status { url: String, status: u16 },
    #[error(
        "{url} has stalled: it has sent {}, and less than {} of it in the last {} s",
        amount(*bytes), amount(*stall_bytes), stall_timeout.as_secs()
    )]
    Stalled {
        url: String,
        bytes: u64,
        stall_bytes: u64,
        stall_timeout: Duration,
    },
    #[error("the download from {url} broke off after {}", amount(*bytes))]
    Interrupted {
        url: String,
        bytes: u64,
        #[source]
        source: reqwest::Error,
    },
    #[error(
        "the file at {url} is larger than {}, and no more can fit the server's root disk: use a flavor with a larger \
         disk, or check that this is the right file",
        amount(*limit_bytes)
    )]
    TooLarge { url: String, limit_bytes: u64 },
    #[error(
        "the node's disk is too full for the image: {} are free, and {} stay free in any case",
        amount(*free_bytes),
        amount(*reserve_bytes)
    )]
    NoSpace { free_bytes: u64, reserve_bytes: u64 },
    #[error("the node's disk cannot be measured")]
    Space(#[source] CacheError),
    #[error("the image cannot be written to the node's disk")]
    Write(#[source] io::Error),
    #[error(
        "the file at {url} has the SHA-256 digest {found}, but the image declares {declared}{}: check address and \
         digest",
        hint(*content)
    )]
    WrongDigest {
        url: String,
        declared: String,
        found: String,
        content: Option<Content>,
    },
    #[error(transparent)]
    Unsafe(Unsafe),
}

impl DownloadError {
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Unreachable { .. } | Self::Stalled { .. } | Self::Interrupted { .. } => {
                Remedy::TrySoon
            }
            Self::Status {
                status: 408 | 429 | 500..,
                ..
            } => Remedy::TrySoon,
            Self::Status { .. }
            | Self::Redirect { .. }
            | Self::NoSpace { .. }
            | Self::Space(_)
            | Self::Write(_) => Remedy::TrySlowly,
            Self::WrongDigest { .. } => Remedy::TryOnceMore,
            Self::TooLarge { .. } => Remedy::AllowMore,
            Self::BadAddress { .. } | Self::Unsafe(_) => Remedy::Never,
        }
    }

    /// For metrics: whether it may pass.
    pub fn word(&self) -> &'static str {
        match self.remedy() {
            Remedy::TrySoon | Remedy::TrySlowly => "failed",
            Remedy::TryOnceMore | Remedy::AllowMore | Remedy::Never => "refused",
        }
    }

    /// For the user: what happened, and the first cause of it. The links between the two are the HTTP client's own
    /// words and help nobody.
    pub fn message(&self) -> String {
        let mut message = self.to_string();
        let mut cause = self.source();
        while let Some(deeper) = cause.and_then(Error::source) {
            cause = Some(deeper);
        }
        if let Some(cause) = cause {
            // Writing to a string cannot fail.
            let _ = write!(message, ": {cause}");
        }
        message
    }
}

fn reason(status: u16) -> String {
    let status = StatusCode::from_u16(status).ok();
    let reason = status.and_then(|status| status.canonical_reason());
    reason
        .map(|reason| format!(" {reason}"))
        .unwrap_or_default()
}

fn hint(content: Option<Content>) -> String {
    content
        .map(|content| format!(" (what was sent is {content})"))
        .unwrap_or_default()
}

/// An address for a message: without user, password, query and fragment, which may be secrets, and not too long.
pub(super) fn shown(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        return "of the image".to_owned();
    };
    // Fails for addresses that cannot have them.
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.set_query(None);
    parsed.set_fragment(None);
    let text = parsed.as_str();
    if text.chars().count() <= URL_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(URL_CHARS_MAX).chain(['…']).collect()
}

/// An amount of bytes as people say it.
fn amount(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.iter().find(|(_, shift)| bytes >> shift > 0) {
        Some((unit, shift)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets_and_not_too_long() {
        for (url, expected) in [
            ("http://a.example/b?token=secret#c", "http://a.example/b"),
            (
                "https://me:secret@a.example:8443/b",
                "https://a.example:8443/b",
            ),
            ("no address: secret", "of the image"),
        ] {
            assert_eq!(shown(url), expected);
        }
        let long = shown(&format!("http://a.example/{}", "b".repeat(2000)));
        assert_eq!(long.chars().count(), URL_CHARS_MAX + 1);
    }

    #[test]
    fn amounts_are_short() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (64 << 20, "64.0 MiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(amount(bytes), expected);
        }
    }
}
