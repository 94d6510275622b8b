//! From what a server names to what it is made of: flavor, image, keys and user data, checked against each other.
//!
//! The only place where a mistake of the server's owner is found. After [`resolve`] nothing can be wrong.

use std::sync::Arc;

use kube::ResourceExt;

use crate::api::{
    flavor::{Firmware, Flavor, Machine},
    guest::ImageContent,
    image::{Image, Visibility},
    key_pair::KeyPair,
    server::{Resources, Server, USER_DATA_BYTES_MAX},
    value::Size,
};

use super::{catalogue::fingerprint, needs::Needs};

/// What was found under the names in a server's spec.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The flavor.
    pub flavor: Option<Arc<Flavor>>,
    /// The image.
    pub image: Option<Arc<Image>>,
    /// Each key pair's name, and the key pair.
    pub key_pairs: Vec<(String, Option<Arc<KeyPair>>)>,
    /// The user data.
    pub user_data: UserDataFound,
    /// Whether the server is bound already: then it was made from these before, and they may be on their way out.
    pub bound: bool,
    /// Whether its seed is written already: then it has its keys and its user data.
    pub seeded: bool,
}

/// What was found of the user data.
#[derive(Clone, Default)]
pub enum UserDataFound {
    /// The server has none.
    #[default]
    None,
    /// These bytes.
    Bytes(Vec<u8>),
    /// The Secret is not there.
    NoSecret,
    /// The Secret is there, but has no such key.
    NoKey,
}

/// User data may hold passwords: never printed.
impl std::fmt::Debug for UserDataFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Bytes(_) => "Bytes(…)",
            Self::NoSecret => "NoSecret",
            Self::NoKey => "NoKey",
        })
    }
}

/// What a server is made of. Nothing in it can be wrong.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What it takes of a hypervisor.
    pub resources: Resources,
    /// What it needs a hypervisor to offer.
    pub needs: Needs,
    /// The image of its root disk.
    pub image: ImageContent,
    /// The keys that may log in.
    pub public_keys: Vec<String>,
    /// What cloud-init shall do.
    pub user_data: UserDataFound,
    /// Whether its seed holds both already, and they are not here.
    pub seeded: bool,
}

/// Why a server cannot be made as it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// No such flavor.
    #[error("there is no flavor {0:?}: `kubectl get flavors` lists what there is")]
    NoFlavor(String),
    /// The flavor is on its way out.
    #[error(
        "flavor {0:?} is being deleted and takes no new servers: delete this server and make it with another one"
    )]
    FlavorLeaving(String),
    /// No such image.
    #[error("there is no image {0:?}: `kubectl get images.kilonova.dev -A` lists what there is")]
    NoImage(String),
    /// The image is somebody else's.
    #[error(
        "image {0:?} is not shared with this project: its owner can set spec.visibility: Public"
    )]
    ImageNotShared(String),
    /// The image is on its way out.
    #[error(
        "image {0:?} is being deleted and takes no new servers: delete this server and make it with another one"
    )]
    ImageLeaving(String),
    /// The image needs more disk than the flavor has.
    #[error(
        "image {image:?} needs a disk of {needed}, and flavor {flavor:?} has {has}: delete this server and make it with a larger flavor"
    )]
    DiskTooSmall {
        /// The image.
        image: String,
        /// What it needs.
        needed: Size,
        /// The flavor.
        flavor: String,
        /// What it has.
        has: Size,
    },
    /// The image needs more memory than the flavor has.
    #[error(
        "image {image:?} needs {needed} of memory, and flavor {flavor:?} has {has}: delete this server and make it with a larger flavor"
    )]
    MemoryTooSmall {
        /// The image.
        image: String,
        /// What it needs.
        needed: Size,
        /// The flavor.
        flavor: String,
        /// What it has.
        has: Size,
    },
    /// Secure Boot without UEFI.
    #[error(
        "Secure Boot needs firmware Uefi, and flavor {flavor:?} with image {image:?} gives Bios: delete this server and make it with a flavor or an image that has firmware: Uefi"
    )]
    SecureBootWithoutUefi {
        /// The flavor.
        flavor: String,
        /// The image.
        image: String,
    },
    /// UEFI with Secure Boot on the old board.
    #[error(
        "Secure Boot needs machine Q35, and flavor {flavor:?} with image {image:?} gives Pc: delete this server and make it with a flavor or an image that has machine: Q35"
    )]
    SecureBootWithoutQ35 {
        /// The flavor.
        flavor: String,
        /// The image.
        image: String,
    },
    /// No such key pair.
    #[error(
        "there is no key pair {0:?} in this project: make it, or delete this server and make it without"
    )]
    NoKeyPair(String),
    /// The key pair holds no key.
    #[error(
        "key pair {name:?} cannot be used: {why}; make it again with the right key, under the same name"
    )]
    KeyPairMalformed {
        /// Its name.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// No such Secret.
    #[error("there is no Secret {0:?} in this project, which spec.userData names: make it")]
    NoSecret(String),
    /// The Secret has no such key.
    #[error("Secret {secret:?} has no key {key:?}, which spec.userData names: add it")]
    NoSecretKey {
        /// The Secret.
        secret: String,
        /// The key.
        key: String,
    },
    /// Too much user data.
    #[error(
        "the user data has {0} bytes, and at most {USER_DATA_BYTES_MAX} are taken: put less into its Secret, and let it fetch the rest"
    )]
    UserDataTooLong(usize),
}

impl Unresolved {
    /// One word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoFlavor(_) => "FlavorNotFound",
            Self::FlavorLeaving(_) => "FlavorBeingDeleted",
            Self::NoImage(_) => "ImageNotFound",
            Self::ImageNotShared(_) => "ImageNotShared",
            Self::ImageLeaving(_) => "ImageBeingDeleted",
            Self::DiskTooSmall { .. } | Self::MemoryTooSmall { .. } => "FlavorTooSmall",
            Self::SecureBootWithoutUefi { .. } | Self::SecureBootWithoutQ35 { .. } => {
                "FirmwareConflict"
            }
            Self::NoKeyPair(_) => "KeyPairNotFound",
            Self::KeyPairMalformed { .. } => "KeyPairMalformed",
            Self::NoSecret(_) | Self::NoSecretKey { .. } => "SecretNotFound",
            Self::UserDataTooLong(_) => "UserDataTooLong",
        }
    }
}

/// What the server is made of, or the first thing that is wrong with it.
pub fn resolve(server: &Server, found: &Found) -> Result<Resolved, Unresolved> {
    let flavor = flavor(server, found)?;
    let image = image(server, found)?;
    let resources = resources(flavor);
    if !found.bound {
        fits(image, flavor, resources)?;
    }
    let needs = Needs {
        network: !server.spec.networks.is_empty(),
        ..needs(flavor, image)?
    };
    let (public_keys, user_data) = if found.seeded {
        (Vec::new(), UserDataFound::None)
    } else {
        (public_keys(found)?, user_data(server, found)?)
    };
    Ok(Resolved {
        resources,
        needs,
        image: ImageContent {
            name: format!(
                "{}/{}",
                image.namespace().unwrap_or_default(),
                image.name_any()
            ),
            url: image.spec.source.http.url.clone(),
            sha256: image.spec.source.http.sha256.clone(),
            format: image.spec.format,
        },
        public_keys,
        user_data,
        seeded: found.seeded,
    })
}

fn flavor<'a>(server: &Server, found: &'a Found) -> Result<&'a Flavor, Unresolved> {
    let name = &server.spec.flavor;
    let flavor = found
        .flavor
        .as_deref()
        .ok_or_else(|| Unresolved::NoFlavor(name.clone()))?;
    if flavor.metadata.deletion_timestamp.is_some() && !found.bound {
        return Err(Unresolved::FlavorLeaving(name.clone()));
    }
    Ok(flavor)
}

fn image<'a>(server: &Server, found: &'a Found) -> Result<&'a Image, Unresolved> {
    let name = server.spec.image.to_string();
    let image = found
        .image
        .as_deref()
        .ok_or_else(|| Unresolved::NoImage(name.clone()))?;
    if found.bound {
        return Ok(image);
    }
    let at_home = image.namespace() == server.namespace();
    if !at_home && image.spec.visibility != Visibility::Public {
        return Err(Unresolved::ImageNotShared(name));
    }
    if image.metadata.deletion_timestamp.is_some() {
        return Err(Unresolved::ImageLeaving(name));
    }
    Ok(image)
}

/// Memory and disk in whole MiB, as libvirt and qemu-img take them.
fn resources(flavor: &Flavor) -> Resources {
    Resources {
        vcpus: flavor.spec.vcpus,
        memory: Size::mib(flavor.spec.memory.as_mib()),
        disk: Size::mib(flavor.spec.disk.as_mib()),
    }
}

fn fits(image: &Image, flavor: &Flavor, has: Resources) -> Result<(), Unresolved> {
    let needed = image
        .spec
        .min_disk
        .max(image.status.as_ref().and_then(|status| status.virtual_size));
    if let Some(needed) = needed.filter(|needed| *needed > has.disk) {
        return Err(Unresolved::DiskTooSmall {
            image: image.name_any(),
            needed,
            flavor: flavor.name_any(),
            has: has.disk,
        });
    }
    if let Some(needed) = image.spec.min_memory.filter(|needed| *needed > has.memory) {
        return Err(Unresolved::MemoryTooSmall {
            image: image.name_any(),
            needed,
            flavor: flavor.name_any(),
            has: has.memory,
        });
    }
    Ok(())
}

/// A flavor's own words go before the image's.
fn needs(flavor: &Flavor, image: &Image) -> Result<Needs, Unresolved> {
    let wishes = &image.spec.properties;
    let machine = flavor
        .spec
        .machine
        .or(wishes.machine)
        .unwrap_or(Machine::Q35);
    let firmware = flavor
        .spec
        .firmware
        .or(wishes.firmware)
        .unwrap_or(Firmware::Bios);
    let secure_boot = flavor
        .spec
        .secure_boot
        .or(wishes.secure_boot)
        .unwrap_or(false);
    let names = || (flavor.name_any(), image.name_any());
    if secure_boot && firmware != Firmware::Uefi {
        let (flavor, image) = names();
        return Err(Unresolved::SecureBootWithoutUefi { flavor, image });
    }
    if secure_boot && machine != Machine::Q35 {
        let (flavor, image) = names();
        return Err(Unresolved::SecureBootWithoutQ35 { flavor, image });
    }
    Ok(Needs {
        architecture: None,
        machine,
        firmware,
        secure_boot,
        tpm: flavor.spec.tpm.or(wishes.tpm).unwrap_or(false),
        cpu_model: flavor.spec.cpu.as_ref().map(|cpu| cpu.model.clone()),
        network: false,
    })
}

fn public_keys(found: &Found) -> Result<Vec<String>, Unresolved> {
    let key = |(name, key_pair): &(String, Option<Arc<KeyPair>>)| match key_pair {
        Some(key_pair) => match fingerprint(&key_pair.spec.public_key) {
            Ok(_) => Ok(key_pair.spec.public_key.clone()),
            Err(why) => Err(Unresolved::KeyPairMalformed {
                name: name.clone(),
                why,
            }),
        },
        None => Err(Unresolved::NoKeyPair(name.clone())),
    };
    found.key_pairs.iter().map(key).collect()
}

fn user_data(server: &Server, found: &Found) -> Result<UserDataFound, Unresolved> {
    let secret = server
        .spec
        .user_data
        .as_ref()
        .and_then(|user_data| user_data.secret.as_ref());
    let name = || secret.map(|secret| secret.name.clone()).unwrap_or_default();
    match &found.user_data {
        UserDataFound::NoSecret => Err(Unresolved::NoSecret(name())),
        UserDataFound::NoKey => Err(Unresolved::NoSecretKey {
            secret: name(),
            key: secret.map(|secret| secret.key.clone()).unwrap_or_default(),
        }),
        UserDataFound::Bytes(bytes) if bytes.len() > USER_DATA_BYTES_MAX => {
            Err(Unresolved::UserDataTooLong(bytes.len()))
        }
        UserDataFound::None | UserDataFound::Bytes(_) => Ok(found.user_data.clone()),
    }
}

#[cfg(test)]
mod tests;
