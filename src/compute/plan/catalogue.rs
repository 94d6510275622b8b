//! How flavors, images and key pairs stand: whether servers may use them, and who does.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use sha2::{Digest, Sha256};

use crate::api::{
    condition::{self, Fact, Truth},
    hypervisor::Hypervisor,
    image::{CacheState, CachedImage, Image, ImageOnNode, ImageState, ImageStatus},
    key_pair::{KeyPair, KeyPairStatus},
};

/// The finalizer that keeps a flavor or an image for as long as servers use it.
pub const IN_USE: &str = "kilonova.dev/in-use";

/// What to do about a flavor or an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Put the finalizer on it.
    Hold,
    /// Take the finalizer off it.
    Release,
    /// Nothing.
    AsItIs,
}

/// Whether the object must be held, can be let go, or stays as it is.
pub fn keep<K: kube::Resource>(object: &K, users: &[String]) -> Keep {
    let held = object.finalizers().iter().any(|name| name == IN_USE);
    let leaving = object.meta().deletion_timestamp.is_some();
    match (leaving, held) {
        (false, false) => Keep::Hold,
        (true, true) if users.is_empty() => Keep::Release,
        (false | true, true) | (true, false) => Keep::AsItIs,
    }
}

/// The condition `Ready` of something that servers use: false, with who they are, while it waits for them to go.
pub fn ready(what: &str, leaving: bool, users: &[String]) -> Fact {
    if !leaving {
        return Fact::yes(
            "Ready",
            "Available",
            format!("new servers may use this {what}"),
        );
    }
    Fact::no(
        "Ready",
        "InUse",
        format!(
            "this {what} is being deleted, and goes when the last server that uses it has gone: {}",
            listed(users)
        ),
    )
}

/// How many names fit into a message before it tires the reader.
const NAMES_MAX: usize = 5;

fn listed(users: &[String]) -> String {
    let shown = users
        .iter()
        .take(NAMES_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match users.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The conditions with `Ready` in them, and whether anything will ever come of waiting: `wrong` says that nothing will.
pub fn conditions(
    before: &[Condition],
    ready: Fact,
    wrong: bool,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let stalled = Fact {
        kind: "Stalled",
        truth: if wrong { Truth::True } else { Truth::False },
        message: if wrong {
            ready.message.clone()
        } else {
            String::new()
        },
        ..ready.clone()
    };
    condition::merge(before, vec![ready, stalled], generation, now)
}

/// How an image stands, from what the hypervisors say of its content.
pub fn image(
    image: &Image,
    hypervisors: &[&Hypervisor],
    users: &[String],
    now: Timestamp,
) -> ImageStatus {
    let content = &image.spec.source.http.sha256;
    let copies: Vec<(String, &CachedImage)> = hypervisors
        .iter()
        .filter_map(|hypervisor| {
            let cached = hypervisor.status.as_ref()?.images.iter();
            let copy = cached
                .clone()
                .find(|copy| copy.sha256 == *content && copy.format == image.spec.format)?;
            Some((hypervisor.name_any(), copy))
        })
        .collect();
    let in_state = |state| {
        copies
            .iter()
            .find(|(_, copy)| copy.state == state)
            .map(|(_, copy)| *copy)
    };
    let verified = in_state(CacheState::Ready);
    let refused = in_state(CacheState::Refused);
    let state = match (verified, refused, copies.is_empty()) {
        (Some(_), _, _) => ImageState::Active,
        (None, Some(_), _) => ImageState::Killed,
        (None, None, false) => ImageState::Saving,
        (None, None, true) => ImageState::Queued,
    };
    let leaving = image.metadata.deletion_timestamp.is_some();
    let refused = refused.filter(|_| verified.is_none() && !leaving);
    let fact = match refused {
        Some(copy) => Fact::no("Ready", "Refused", copy.message.clone().unwrap_or_default()),
        None => ready("image", leaving, users),
    };
    let before = image.status.as_ref();
    ImageStatus {
        id: image.uid(),
        state: Some(state),
        size: verified
            .and_then(|copy| copy.size)
            .or(before.and_then(|status| status.size)),
        virtual_size: verified
            .and_then(|copy| copy.virtual_size)
            .or(before.and_then(|status| status.virtual_size)),
        nodes: copies.into_iter().map(on_node).collect(),
        observed_generation: image.metadata.generation,
        conditions: conditions(
            before.map_or(&[], |status| &status.conditions),
            fact,
            refused.is_some(),
            image.metadata.generation,
            now,
        ),
    }
}

fn on_node((name, copy): (String, &CachedImage)) -> ImageOnNode {
    ImageOnNode {
        name,
        state: copy.state,
        progress: copy.progress,
        message: copy.message.clone(),
    }
}

/// How a key pair stands.
pub fn key_pair(key_pair: &KeyPair, now: Timestamp) -> KeyPairStatus {
    let fingerprint = fingerprint(&key_pair.spec.public_key);
    let fact = match &fingerprint {
        Ok(_) => Fact::yes("Ready", "WellFormed", "servers may name this key"),
        Err(why) => Fact::no("Ready", "Malformed", *why),
    };
    let before = key_pair
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.conditions);
    let generation = key_pair.metadata.generation;
    KeyPairStatus {
        conditions: conditions(before, fact, fingerprint.is_err(), generation, now),
        fingerprint: fingerprint.ok(),
        observed_generation: generation,
    }
}

/// The fingerprint of an OpenSSH public key, as `ssh-keygen -l` prints it (RFC 4253 section 6.6 for the key's form), or what is
/// wrong with the key.
pub fn fingerprint(public_key: &str) -> Result<String, &'static str> {
    let mut words = public_key.split(' ');
    let (kind, encoded) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let blob = STANDARD
        .decode(encoded)
        .map_err(|_| "the key's second word is not base64: copy the whole line of the .pub file")?;
    let Some((named, key)) = field(&blob) else {
        return Err(CUT_OFF);
    };
    if named != kind.as_bytes() {
        return Err(
            "the key's first word does not say what the key is: copy the whole line of the .pub file",
        );
    }
    let mut rest = key;
    while let Some((_, more)) = field(rest) {
        rest = more;
    }
    if key.is_empty() || !rest.is_empty() {
        return Err(CUT_OFF);
    }
    Ok(format!(
        "SHA256:{}",
        STANDARD_NO_PAD.encode(Sha256::digest(&blob))
    ))
}

const CUT_OFF: &str =
    "the key's second word is cut off or has too much: copy the whole line of the .pub file";

/// The first of a key's fields, each of which is preceded by its length (RFC 4251 section 5), and those after it.
fn field(blob: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = blob.split_first_chunk()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A well-known host key, whose owner publishes the fingerprint too.
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl git@example";

    #[test]
    fn a_fingerprint_is_what_ssh_keygen_prints() {
        assert_eq!(
            fingerprint(KEY).unwrap(),
            "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
        );
    }

    #[test]
    fn a_key_that_says_it_is_another_is_refused() {
        assert!(fingerprint(&KEY.replacen("ed25519", "rsa", 1)).is_err());
        assert!(fingerprint("ssh-ed25519 !!!").is_err());
        assert!(fingerprint("ssh-ed25519").is_err());
        // Base64 still, but not all of it.
        let end = KEY.find(" git").unwrap();
        assert_eq!(fingerprint(&KEY[..end - 4]), Err(CUT_OFF));
        assert_eq!(fingerprint(&KEY[..32]), Err(CUT_OFF));
    }

    #[test]
    fn only_so_many_users_are_named() {
        let users: Vec<String> = (0..7).map(|i| format!("shop/web-{i}")).collect();
        assert!(
            ready("flavor", true, &users)
                .message
                .ends_with("shop/web-4 and 2 more")
        );
    }
}
