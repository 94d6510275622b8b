//! Every mistake in what a server names, in the words that its owner reads, and which is told first.

use super::*;
use crate::{
    api::{
        flavor::FlavorCpu,
        image::ImageStatus,
        server::{SecretKey, UserData},
    },
    compute::plan::fixtures::{KEY, content, flavor, found, image, key_pair, leaving, server},
};

/// What the server says when this is what it names.
fn refused(found: &Found) -> (String, &'static str) {
    let why = resolve(&server(), found).unwrap_err();
    (why.to_string(), why.reason())
}

fn with_flavor(change: impl FnOnce(&mut Flavor)) -> Found {
    let mut flavor = flavor();
    change(&mut flavor);
    Found {
        flavor: Some(Arc::new(flavor)),
        ..found()
    }
}

fn with_image(change: impl FnOnce(&mut Image)) -> Found {
    let mut image = image();
    change(&mut image);
    Found {
        image: Some(Arc::new(image)),
        ..found()
    }
}

#[test]
fn a_plain_server_is_made_of_its_flavor_and_image() {
    let resolved = resolve(&server(), &found()).unwrap();
    assert_eq!(resolved.resources, crate::compute::plan::fixtures::SMALL);
    assert_eq!(resolved.needs, Needs::default());
    assert_eq!(resolved.image, content());
    assert!(resolved.public_keys.is_empty());
}

#[test]
fn each_mistake_is_told_with_what_to_do() {
    let nothing = Found::default();
    let no_image = Found {
        image: None,
        ..found()
    };
    let no_key = Found {
        key_pairs: vec![
            ("alice".to_owned(), Some(Arc::new(key_pair("alice")))),
            ("bob".to_owned(), None),
        ],
        ..found()
    };
    let mut cut_off = key_pair("carol");
    cut_off.spec.public_key = KEY[..KEY.len() - 4].to_owned();
    let bad_key = Found {
        key_pairs: vec![("carol".to_owned(), Some(Arc::new(cut_off)))],
        ..found()
    };
    let long = Found {
        user_data: UserDataFound::Bytes(vec![b'x'; USER_DATA_BYTES_MAX + 1]),
        ..found()
    };
    for (found, message, reason) in [
        (
            nothing,
            "there is no flavor \"small\": `kubectl get flavors` lists what there is",
            "FlavorNotFound",
        ),
        (
            with_flavor(|flavor| *flavor = leaving(flavor.clone())),
            "flavor \"small\" is being deleted and takes no new servers: delete this server and make it with another one",
            "FlavorBeingDeleted",
        ),
        (
            no_image,
            "there is no image \"tiny\": `kubectl get images.kilonova.dev -A` lists what there is",
            "ImageNotFound",
        ),
        (
            with_image(|image| image.metadata.namespace = Some("other".to_owned())),
            "image \"tiny\" is not shared with this project: its owner can set spec.visibility: Public",
            "ImageNotShared",
        ),
        (
            with_image(|image| *image = leaving(image.clone())),
            "image \"tiny\" is being deleted and takes no new servers: delete this server and make it with another one",
            "ImageBeingDeleted",
        ),
        (
            with_image(|image| image.spec.min_disk = Some(Size::gib(2))),
            "image \"tiny\" needs a disk of 2Gi, and flavor \"small\" has 1Gi: delete this server and make it with a larger flavor",
            "FlavorTooSmall",
        ),
        (
            with_image(|image| image.spec.min_memory = Some(Size::mib(129))),
            "image \"tiny\" needs 129Mi of memory, and flavor \"small\" has 128Mi: delete this server and make it with a larger flavor",
            "FlavorTooSmall",
        ),
        (
            with_image(|image| image.spec.properties.secure_boot = Some(true)),
            "Secure Boot needs firmware Uefi, and flavor \"small\" with image \"tiny\" gives Bios: delete this server and make it with a flavor or an image that has firmware: Uefi",
            "FirmwareConflict",
        ),
        (
            with_flavor(|flavor| {
                flavor.spec.secure_boot = Some(true);
                flavor.spec.firmware = Some(Firmware::Uefi);
                flavor.spec.machine = Some(Machine::Pc);
            }),
            "Secure Boot needs machine Q35, and flavor \"small\" with image \"tiny\" gives Pc: delete this server and make it with a flavor or an image that has machine: Q35",
            "FirmwareConflict",
        ),
        (
            no_key,
            "there is no key pair \"bob\" in this project: make it, or delete this server and make it without",
            "KeyPairNotFound",
        ),
        (
            bad_key,
            "key pair \"carol\" cannot be used: the key's second word is cut off or has too much: copy the whole line of the \
             .pub file; make it again with the right key, under the same name",
            "KeyPairMalformed",
        ),
        (
            long,
            "the user data has 65537 bytes, and at most 65536 are taken: put less into its Secret, and let it fetch the rest",
            "UserDataTooLong",
        ),
    ] {
        assert_eq!(refused(&found), (message.to_owned(), reason));
    }
}

#[test]
fn a_secret_that_is_not_there_is_told_by_its_name() {
    let mut server = server();
    server.spec.user_data = Some(UserData {
        inline: None,
        secret: Some(SecretKey {
            name: "se\"cret".to_owned(),
            key: "user-data".to_owned(),
        }),
    });
    for (user_data, message) in [
        (
            UserDataFound::NoSecret,
            r#"there is no Secret "se\"cret" in this project, which spec.userData names: make it"#,
        ),
        (
            UserDataFound::NoKey,
            r#"Secret "se\"cret" has no key "user-data", which spec.userData names: add it"#,
        ),
    ] {
        let found = Found {
            user_data,
            ..found()
        };
        let why = resolve(&server, &found).unwrap_err();
        assert_eq!(
            (why.to_string().as_str(), why.reason()),
            (message, "SecretNotFound")
        );
    }
}

/// One mistake at a time, in the order in which an owner would mend them.
#[test]
fn of_many_mistakes_the_first_is_told() {
    let mut found = Found {
        flavor: None,
        image: None,
        key_pairs: vec![("bob".to_owned(), None)],
        user_data: UserDataFound::Bytes(vec![0; USER_DATA_BYTES_MAX + 1]),
        ..found()
    };
    let mut image = image();
    image.spec.min_disk = Some(Size::gib(9));
    image.spec.min_memory = Some(Size::gib(9));
    image.spec.properties.secure_boot = Some(true);
    let mut told = Vec::new();
    let mut tell = |found: &Found| told.push(refused(found).1);
    tell(&found);
    found.flavor = Some(Arc::new(leaving(flavor())));
    tell(&found);
    found.flavor = Some(Arc::new(flavor()));
    tell(&found);
    found.image = Some(Arc::new(image.clone()));
    tell(&found);
    image.spec.min_disk = None;
    image.spec.min_memory = None;
    found.image = Some(Arc::new(image.clone()));
    tell(&found);
    image.spec.properties.secure_boot = None;
    found.image = Some(Arc::new(image));
    tell(&found);
    found.key_pairs.clear();
    tell(&found);
    assert_eq!(
        told,
        [
            "FlavorNotFound",
            "FlavorBeingDeleted",
            "ImageNotFound",
            "FlavorTooSmall",
            "FirmwareConflict",
            "KeyPairNotFound",
            "UserDataTooLong",
        ]
    );
}

#[test]
fn an_image_of_another_project_is_taken_when_it_is_public() {
    let found = with_image(|image| {
        image.metadata.namespace = Some("other".to_owned());
        image.spec.visibility = Visibility::Public;
    });
    let resolved = resolve(&server(), &found).unwrap();
    assert_eq!(resolved.image.name, "other/tiny");
}

/// Whether an image that is not shared is leaving is none of a stranger's business.
#[test]
fn a_stranger_is_told_nothing_of_a_private_image() {
    let found = with_image(|image| {
        image.metadata.namespace = Some("other".to_owned());
        *image = leaving(image.clone());
    });
    assert_eq!(refused(&found).1, "ImageNotShared");
}

#[test]
fn a_disk_must_hold_what_the_file_turned_out_to_describe() {
    for (min_disk, virtual_size, fits) in [
        (None, None, true),
        (None, Some(Size::gib(1)), true),
        (None, Some(Size::bytes((1 << 30) + 1)), false),
        (Some(Size::mib(1)), Some(Size::gib(2)), false),
        (Some(Size::gib(2)), Some(Size::mib(1)), false),
    ] {
        let found = with_image(|image| {
            image.spec.min_disk = min_disk;
            image.status = Some(ImageStatus {
                virtual_size,
                ..ImageStatus::default()
            });
        });
        let resolved = resolve(&server(), &found);
        assert_eq!(resolved.is_ok(), fits, "{min_disk:?} {virtual_size:?}");
    }
}

#[test]
fn sizes_are_rounded_up_to_whole_mib() {
    let found = with_flavor(|flavor| {
        flavor.spec.memory = Size::bytes((128 << 20) + 1);
        flavor.spec.disk = Size::bytes(1_000_000_000);
    });
    let resources = resolve(&server(), &found).unwrap().resources;
    assert_eq!(resources.memory, Size::mib(129));
    assert_eq!(resources.disk, Size::mib(954));
}

#[test]
fn a_flavor_s_words_go_before_the_image_s() {
    let mut found = with_flavor(|flavor| {
        flavor.spec.firmware = Some(Firmware::Bios);
        flavor.spec.secure_boot = Some(false);
        flavor.spec.tpm = Some(false);
        flavor.spec.machine = Some(Machine::Pc);
        flavor.spec.cpu = Some(FlavorCpu {
            model: "Nehalem".to_owned(),
        });
    });
    let mut wishes = image();
    let properties = &mut wishes.spec.properties;
    properties.firmware = Some(Firmware::Uefi);
    properties.secure_boot = Some(true);
    properties.tpm = Some(true);
    properties.machine = Some(Machine::Q35);
    found.image = Some(Arc::new(wishes));
    let first = resolve(&server(), &found).unwrap().needs;
    let expected = Needs {
        machine: Machine::Pc,
        cpu_model: Some("Nehalem".to_owned()),
        ..Needs::default()
    };
    assert_eq!(first, expected);

    found.flavor = Some(Arc::new(flavor()));
    let needs = resolve(&server(), &found).unwrap().needs;
    assert_eq!(needs.firmware, Firmware::Uefi);
    assert!(needs.secure_boot && needs.tpm);
    assert_eq!(needs.machine, Machine::Q35);
}

#[test]
fn keys_keep_their_order_and_user_data_its_bytes() {
    let pair = |name: &str| (name.to_owned(), Some(Arc::new(key_pair(name))));
    let found = Found {
        key_pairs: vec![pair("bob"), pair("alice")],
        user_data: UserDataFound::Bytes(vec![0xff; USER_DATA_BYTES_MAX]),
        ..found()
    };
    let resolved = resolve(&server(), &found).unwrap();
    assert_eq!(
        resolved.public_keys,
        [format!("{KEY} bob"), format!("{KEY} alice")]
    );
    let UserDataFound::Bytes(bytes) = &resolved.user_data else {
        panic!("{:?}", resolved.user_data);
    };
    assert_eq!(*bytes, vec![0xff; USER_DATA_BYTES_MAX]);
}

#[test]
fn user_data_is_never_printed() {
    let resolved = Found {
        user_data: UserDataFound::Bytes(b"password".to_vec()),
        ..found()
    };
    assert!(!format!("{resolved:?}").contains("password"));
    assert!(format!("{:?}", resolved.user_data).contains("Bytes(…)"));
}

/// Whoever cleans up what a server was made from does not unmake the server: its guest may have to be written anew.
#[test]
fn a_bound_server_is_made_from_what_is_on_its_way_out() {
    let mut image = leaving(image());
    image.metadata.namespace = Some("other".to_owned());
    image.spec.min_disk = Some(Size::gib(9));
    let gone = Found {
        flavor: Some(Arc::new(leaving(flavor()))),
        image: Some(Arc::new(image)),
        key_pairs: vec![("bob".to_owned(), None)],
        user_data: UserDataFound::NoSecret,
        bound: true,
        seeded: true,
    };
    let resolved = resolve(&server(), &gone).unwrap();
    assert!(resolved.seeded && resolved.public_keys.is_empty());
    // Without its seed it needs its keys, or nobody could log in.
    let unseeded = Found {
        seeded: false,
        ..gone
    };
    assert_eq!(refused(&unseeded).1, "KeyPairNotFound");
}
