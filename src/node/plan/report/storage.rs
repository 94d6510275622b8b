//! Whether the guest's disk is there, and what of it is on its way.

use crate::{
    api::{
        condition::{self, Fact},
        guest::Guest,
    },
    node::{
        images::Presence,
        plan::decide::{self, Decision, Files, Found, Step, Waiting},
    },
};

use super::{Progress, StepFailure};

/// What `StorageReady` says.
pub(super) fn storage(
    guest: &Guest,
    files: &Files,
    decision: &Decision,
    progress: &Progress,
) -> Fact {
    let image = &guest.spec.root_disk.image.name;
    let no = |reason: &'static str, message: String| Fact::no("StorageReady", reason, message);
    match (&decision.waiting, &progress.failure) {
        (
            _,
            Some(StepFailure {
                step: Step::MakeDisk | Step::WriteSeed,
                message,
                ..
            }),
        ) => no("DiskFailed", message.clone()),
        (Waiting::Image(presence), _) => match presence {
            Presence::Ready { .. } => no("Building", format!("image {image} is there")),
            Presence::Downloading { percent, .. } => {
                no("Downloading", downloading(image, *percent))
            }
            Presence::Failed { message, .. } => no(
                "DownloadFailed",
                format!("image {image}: {message}; it is tried again"),
            ),
            Presence::Refused { message, .. } => {
                no("ImageRefused", format!("image {image}: {message}"))
            }
        },
        (Waiting::SmallerImage { virtual_size, disk }, _) => no(
            "DiskTooSmall",
            format!(
                "image {image} describes a disk of {virtual_size}, and the flavor's disk has {disk}: choose a flavor with a larger disk"
            ),
        ),
        (Waiting::Seed, _) => no(
            "Building",
            format!(
                "waiting for Secret {}, which holds the seed",
                guest.spec.seed_secret
            ),
        ),
        (Waiting::ForbiddenSeed, _) => no(
            "SeedForbidden",
            format!(
                "the agent may not read Secret {}, which holds the seed: are the rights of the node's account as the operator made them?",
                guest.spec.seed_secret
            ),
        ),
        (Waiting::Hypervisor(_) | Waiting::Foreign | Waiting::Farewell, _) => {
            known(guest, "StorageReady")
        }
        (
            Waiting::Nothing
            | Waiting::PowerOff
            | Waiting::Transition
            | Waiting::Backoff(_)
            | Waiting::Owner(_)
            | Waiting::Storage
            | Waiting::LostDisk(_)
            | Waiting::Files(_)
            | Waiting::Definition(_),
            _,
        ) => disk(guest, files, progress),
    }
}

/// Whether the root disk is there.
fn disk(guest: &Guest, files: &Files, progress: &Progress) -> Fact {
    let built = || Fact::yes("StorageReady", "Built", "the root disk is there");
    if progress.done.contains(&Step::MakeDisk) {
        return built();
    }
    match (&files.root_disk, &files.seed) {
        (Found::Unknown(why), _) | (Found::Yes, Found::Unknown(why)) => {
            Fact::unknown("StorageReady", "DiskUnknown", why.clone())
        }
        (Found::Yes, Found::Yes | Found::No) => built(),
        (Found::No, _) if decide::has_run(guest) => Fact::no(
            "StorageReady",
            "LostDisk",
            format!(
                "the root disk {} is gone, although the guest has run: is the node's state folder mounted? An empty one is not made in its place; to accept the loss, delete the server and make it again",
                files.path.display()
            ),
        ),
        (Found::No, _) => Fact::no("StorageReady", "Building", "there is no root disk yet"),
    }
}

/// In steps of ten percent, so that a status is written ten times for a download and not a hundred times.
fn downloading(image: &str, percent: Option<u8>) -> String {
    match percent {
        Some(percent) => format!("downloading image {image}: {} %", percent / 10 * 10),
        None => format!("downloading image {image}"),
    }
}

/// What was last said of this, where nothing new is known.
fn known(guest: &Guest, kind: &'static str) -> Fact {
    let before = guest
        .status
        .as_ref()
        .and_then(|status| condition::find(&status.conditions, kind));
    match before {
        Some(said) if said.status == "True" => {
            Fact::yes(kind, said.reason.clone(), said.message.clone())
        }
        Some(said) if said.status == "False" => {
            Fact::no(kind, said.reason.clone(), said.message.clone())
        }
        Some(_) | None => Fact::unknown(kind, "Unknown", "not known yet"),
    }
}
