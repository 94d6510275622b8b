//! What a node is told of a server, and what it is not told again.

use serde_json::Value;

use super::*;
use crate::{
    api::{
        guest::GuestAction,
        metadata::MetadataService,
        server::{PowerState, RestartPolicy, Shutdown},
        server_action::Verb,
    },
    compute::plan::fixtures::{NODE, SMALL, UID, bound, guest, resolved, server},
};

fn binding() -> Binding {
    Binding {
        node: NODE.to_owned(),
        epoch: 2,
        resources: SMALL,
    }
}

fn document(seed: &Secret, key: &str) -> String {
    let data = seed.data.as_ref().unwrap();
    String::from_utf8(data[key].0.clone()).unwrap()
}

/// What comes back from the API server is what was compiled, so nothing has to be written again.
#[test]
fn a_compiled_guest_is_the_one_that_refreshing_finds() {
    let compiled = compile(&server(), &resolved(), &binding(), Vec::new());
    assert_eq!(compiled.spec, guest().spec);
    assert_eq!(refresh(&bound(), &compiled, Vec::new()).spec, compiled.spec);
}

#[test]
fn a_guest_lies_in_its_node_s_namespace_and_is_held_by_its_agent() {
    let metadata = compile(&server(), &resolved(), &binding(), Vec::new()).metadata;
    assert_eq!(metadata.name.as_deref(), Some(UID));
    assert_eq!(metadata.namespace.as_deref(), Some("kilonova-node-n1"));
    assert_eq!(metadata.finalizers, Some(vec![FINALIZER.to_owned()]));
    assert_eq!(metadata.owner_references, None);
}

#[test]
fn refreshing_changes_what_the_owner_may_change() {
    let mut server = bound();
    server.spec.power_state = PowerState::Suspended;
    server.spec.restart_policy = RestartPolicy::OnFailure;
    server.spec.shutdown = Some(Shutdown {
        grace: std::time::Duration::from_millis(2900).into(),
    });
    server.spec.metadata_service = Some(MetadataService {
        tokens: MetadataTokens::Required,
    });
    let spec = refresh(&server, &guest(), Vec::new()).spec;
    assert_eq!(spec.metadata_tokens, MetadataTokens::Required);
    assert_eq!(spec.power, PowerState::Suspended);
    assert_eq!(spec.restart_policy, RestartPolicy::OnFailure);
    assert_eq!(spec.shutdown_grace_seconds, 2);
}

/// A flavor or image that changed or vanished since does not touch a server that was made from it.
#[test]
fn refreshing_keeps_what_was_resolved_once() {
    let mut told = guest();
    told.spec.vcpus = 99;
    told.spec.memory_mib = 77;
    told.spec.cpu_model = Some("Nehalem".to_owned());
    told.spec.root_disk.image.url = "http://old.example/old.qcow2".to_owned();
    told.spec.epoch = 12;
    let mut server = bound();
    server.spec.flavor = "another".to_owned();
    assert_eq!(refresh(&server, &told, Vec::new()).spec, told.spec);
}

/// Whoever applies a field owns it: status, labels and actions are others'.
#[test]
fn a_refreshed_guest_holds_only_what_is_ours_to_write() {
    let mut told = guest();
    told.metadata.labels = Some([("by".to_owned(), "hand".to_owned())].into());
    told.metadata.resource_version = Some("7".to_owned());
    told.status = Some(crate::api::guest::GuestStatus::default());
    told.spec.action = Some(GuestAction {
        id: "a".to_owned(),
        verb: Verb::Nmi,
    });
    for written in [refresh(&bound(), &told, Vec::new()), retire(&told)] {
        let expected = ObjectMeta {
            name: told.metadata.name.clone(),
            namespace: told.metadata.namespace.clone(),
            uid: told.metadata.uid.clone(),
            finalizers: Some(vec![FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        };
        assert_eq!(written.metadata, expected);
        assert_eq!((written.spec.action, written.status), (None, None));
    }
}

#[test]
fn retiring_changes_nothing_else() {
    let told = guest();
    let expected = GuestSpec {
        retired: true,
        ..told.spec.clone()
    };
    assert_eq!(retire(&told).spec, expected);
}

#[test]
fn a_guest_has_a_minute_to_power_off_unless_its_owner_says_otherwise() {
    for (grace, seconds) in [
        (None, 60),
        (Some(std::time::Duration::ZERO), 0),
        (Some(std::time::Duration::from_hours(1)), 3600),
    ] {
        let mut server = server();
        server.spec.shutdown = grace.map(|grace| Shutdown {
            grace: grace.into(),
        });
        let spec = compile(&server, &resolved(), &binding(), Vec::new()).spec;
        assert_eq!(spec.shutdown_grace_seconds, seconds);
    }
}

#[test]
fn the_host_name_is_the_server_s_unless_it_has_another() {
    let mut server = server();
    for (hostname, expected) in [(None, "web-1"), (Some("db.example"), "db.example")] {
        server.spec.hostname = hostname.map(str::to_owned);
        let meta_data = document(&seed(&server, &resolved(), &binding(), &[]), SEED_META_DATA);
        let meta_data: Value = serde_json::from_str(&meta_data).unwrap();
        assert_eq!(meta_data["local-hostname"], expected);
        assert_eq!(meta_data["instance-id"], UID);
    }
}

/// Names of objects may have longer labels than names of hosts.
#[test]
fn a_long_name_is_cut_to_a_host_name() {
    let mut server = server();
    let long = format!("{}-{}", "a".repeat(62), "b".repeat(50));
    for (name, expected) in [
        ("web-1.shop", "web-1.shop".to_owned()),
        (&*long, "a".repeat(62)),
        (
            &*format!("{long}.{}", "c".repeat(80)),
            format!("{}.{}", "a".repeat(62), "c".repeat(63)),
        ),
    ] {
        server.metadata.name = Some(name.to_owned());
        assert_eq!(hostname(&server), expected);
    }
}

/// Delete and recreate under the same name gives a new machine: cloud-init runs anew for a new instance-id.
#[test]
fn a_server_of_the_same_name_is_another_instance() {
    let mut again = server();
    again.metadata.uid = Some("0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0".to_owned());
    let one = document(
        &seed(&server(), &resolved(), &binding(), &[]),
        SEED_META_DATA,
    );
    let two = document(&seed(&again, &resolved(), &binding(), &[]), SEED_META_DATA);
    assert_ne!(one, two);
}

#[test]
fn a_seed_cannot_be_changed_and_always_has_both_documents() {
    let seed = seed(&server(), &resolved(), &binding(), &[]);
    assert_eq!(seed.immutable, Some(true));
    assert_eq!(seed.type_.as_deref(), Some("kilonova.dev/seed"));
    assert_eq!(document(&seed, SEED_USER_DATA), "#cloud-config\n{}\n");
}

/// Serializers keep such text in its place; here it must not be changed on the way to them.
#[test]
fn hostile_text_arrives_unchanged() {
    for text in [
        "web\"}\ninstance-id: evil",
        "<domain type='kvm'/>",
        "'; rm -rf / #",
        "{{ jinja }} %s $(id) `id`",
        "a\u{0}b\u{7}\u{85}\u{2028}",
        "schlüssel 🔑",
    ] {
        let mut server = server();
        server.spec.hostname = Some(text.to_owned());
        let mut resolved = resolved();
        resolved.image.name = text.to_owned();
        resolved.image.url = text.to_owned();
        resolved.needs.cpu_model = Some(text.to_owned());
        resolved.public_keys = vec![text.to_owned()];
        resolved.user_data = UserDataFound::Bytes(text.as_bytes().to_vec());
        let spec = compile(&server, &resolved, &binding(), Vec::new()).spec;
        assert_eq!(spec.root_disk.image.name, text);
        assert_eq!(spec.root_disk.image.url, text);
        assert_eq!(spec.cpu_model.as_deref(), Some(text));
        let seed = seed(&server, &resolved, &binding(), &[]);
        assert_eq!(document(&seed, SEED_USER_DATA), text);
        let meta_data: Value = serde_json::from_str(&document(&seed, SEED_META_DATA)).unwrap();
        assert_eq!(meta_data["local-hostname"], text);
        assert_eq!(meta_data["public-keys"][0], text);
        assert_eq!(meta_data["instance-id"], UID);
    }
}

/// User data need not be text.
#[test]
fn user_data_keeps_every_byte() {
    let bytes: Vec<u8> = (0..=255).collect();
    let mut resolved = resolved();
    resolved.user_data = UserDataFound::Bytes(bytes.clone());
    let seed = seed(&server(), &resolved, &binding(), &[]);
    assert_eq!(seed.data.unwrap()[SEED_USER_DATA].0, bytes);
}
