//! How long objects are kept that others use, and what is said while they are.

use kube::{Resource, ResourceExt};

use crate::api::condition::Fact;

/// The finalizer that keeps an object for as long as others use it.
pub const IN_USE: &str = "kilonova.dev/in-use";

/// What to do about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Put the finalizer on it.
    Hold,
    /// Take the finalizer off it.
    Release,
    /// Nothing.
    AsItIs,
}

/// Whether the object stays for as long as it is used, whoever deletes it.
pub fn is_held<K: Resource>(object: &K) -> bool {
    object.finalizers().iter().any(|name| name == IN_USE)
}

/// Whether the object must be held, can be let go, or stays as it is: `wanted` says whether it is to be held at all, `used`
/// whether anybody uses it.
pub fn keep<K: Resource>(object: &K, wanted: bool, used: impl FnOnce() -> bool) -> Keep {
    let held = is_held(object);
    let leaving = object.meta().deletion_timestamp.is_some();
    match (leaving, held) {
        (false, false) if wanted => Keep::Hold,
        (true, true) if !used() => Keep::Release,
        _ => Keep::AsItIs,
    }
}

/// The condition `Ready` of something that is on its way out.
pub fn leaving(users: &[String]) -> Fact {
    let message = match users {
        [] => "being deleted; nothing uses it".to_owned(),
        [one] => format!("being deleted, and in use by {one}: delete that first"),
        [first, more @ ..] => format!(
            "being deleted, and in use by {first} and {} more: delete them first",
            more.len()
        ),
    };
    let reason = if users.is_empty() {
        "Deleting"
    } else {
        "InUse"
    };
    Fact::no("Ready", reason, message)
}

#[cfg(test)]
mod tests {
    use super::leaving;

    #[test]
    fn who_uses_it_is_named() {
        let users = |count: usize| -> Vec<String> {
            (1..=count)
                .map(|number| format!("port shop/web-{number}"))
                .collect()
        };
        for (count, message) in [
            (0, "being deleted; nothing uses it"),
            (
                1,
                "being deleted, and in use by port shop/web-1: delete that first",
            ),
            (
                4,
                "being deleted, and in use by port shop/web-1 and 3 more: delete them first",
            ),
        ] {
            assert_eq!(leaving(&users(count)).message, message);
        }
    }
}
