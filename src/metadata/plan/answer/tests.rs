//! What is answered: a table of paths, what is refused, and that no request at all makes the plan fall over.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::metadata::plan::instance::fixtures::instance;

fn get(path: &str) -> Asked<'_> {
    Asked {
        method: Method::Get,
        path,
        is_forwarded: false,
        credential: Credential::None,
        token_life: None,
    }
}

fn text(path: &str) -> Option<String> {
    let answer = look(path, &instance());
    (answer.status == 200).then(|| String::from_utf8(answer.body).unwrap())
}

fn json_at(path: &str) -> Value {
    let answer = look(path, &instance());
    assert_eq!((answer.status, answer.form), (200, Form::Json), "{path}");
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn ec2s_paths_have_their_answers() {
    let interface = "network/interfaces/macs/02:00:00:00:00:05";
    let table = [
        (
            "",
            "hostname\ninstance-id\nlocal-hostname\nlocal-ipv4\nmac\nnetwork/\npublic-keys/",
        ),
        (
            "/",
            "hostname\ninstance-id\nlocal-hostname\nlocal-ipv4\nmac\nnetwork/\npublic-keys/",
        ),
        ("/hostname", "web-1.shop"),
        ("/instance-id", "4ba4e3ee-7ed1-4bd8-a8b0-ae1a0b5a5d35"),
        ("/local-hostname", "web-1.shop"),
        ("/local-ipv4", "10.0.0.5"),
        ("/mac", "02:00:00:00:00:05"),
        ("/network/", "interfaces/"),
        (
            "/network/interfaces/macs/",
            "02:00:00:00:00:05/\n02:00:00:00:00:09/",
        ),
        (
            &format!("/{interface}/"),
            "device-number\ninterface-id\nipv6s\nlocal-ipv4s\nmac",
        ),
        (&format!("/{interface}/device-number"), "0"),
        (&format!("/{interface}/ipv6s"), "2001:db8::5"),
        (&format!("/{interface}/local-ipv4s"), "10.0.0.5\n10.0.0.6"),
        (
            "/network/interfaces/macs/02:00:00:00:00:09/device-number",
            "1",
        ),
        ("/public-keys/", "0=key-0\n1=key-1"),
        ("/public-keys/1/", "openssh-key"),
        ("/public-keys/0/openssh-key", "ssh-ed25519 AAAA me@home"),
    ];
    for version in ec2::VERSIONS.iter().chain(&["latest"]) {
        for (path, expected) in &table {
            let path = format!("/{version}/meta-data{path}");
            assert_eq!(text(&path).as_deref(), Some(*expected), "{path}");
        }
        let listed = text(&format!("/{version}/"));
        assert_eq!(listed.as_deref(), Some("meta-data/\nuser-data"));
        let user_data = look(&format!("/{version}/user-data"), &instance());
        assert_eq!(user_data.body, b"#cloud-config\n{}\n");
        assert_eq!(user_data.form, Form::Bytes);
    }
    let versions = text("/").unwrap();
    assert!(
        versions.starts_with("1.0\n") && versions.ends_with("\nlatest"),
        "{versions}"
    );
}

#[test]
fn openstacks_paths_have_their_answers() {
    let expected = json!({
        "uuid": "4ba4e3ee-7ed1-4bd8-a8b0-ae1a0b5a5d35",
        "name": "web-1",
        "hostname": "web-1.shop",
        "project_id": "shop",
        "launch_index": 0,
        "public_keys": {"key-0": "ssh-ed25519 AAAA me@home", "key-1": "ssh-ed25519 BBBB you@home"},
        "keys": [
            {"name": "key-0", "type": "ssh", "data": "ssh-ed25519 AAAA me@home"},
            {"name": "key-1", "type": "ssh", "data": "ssh-ed25519 BBBB you@home"},
        ],
    });
    for version in openstack::VERSIONS {
        assert_eq!(
            json_at(&format!("/openstack/{version}/meta_data.json")),
            expected
        );
        let user_data = look(&format!("/openstack/{version}/user_data"), &instance());
        assert_eq!(user_data.body, b"#cloud-config\n{}\n");
    }
    let (one, two) = (
        "11111111-1111-1111-1111-111111111111",
        "22222222-2222-2222-2222-222222222222",
    );
    let expected = json!({
        "links": [
            {"id": one, "vif_id": one, "type": "ovs", "mtu": 1442, "ethernet_mac_address": "02:00:00:00:00:05"},
            {"id": two, "vif_id": two, "type": "ovs", "mtu": 1442, "ethernet_mac_address": "02:00:00:00:00:09"},
        ],
        "networks": [
            {"id": "network0", "type": "ipv4_dhcp", "link": one, "network_id": "red"},
            {"id": "network1", "type": "ipv4_dhcp", "link": two, "network_id": "blue"},
        ],
        "services": [],
    });
    assert_eq!(json_at("/openstack/latest/network_data.json"), expected);
    assert_eq!(json_at("/openstack/latest/vendor_data.json"), json!({}));
    assert_eq!(
        text("/openstack/2012-08-10/").as_deref(),
        Some("meta_data.json\nuser_data")
    );
    assert_eq!(
        text("/openstack/2015-10-15").as_deref(),
        Some("meta_data.json\nuser_data\nvendor_data.json\nnetwork_data.json")
    );
    let versions = text("/openstack").unwrap();
    assert!(
        versions.starts_with("2012-08-10\n") && versions.ends_with("\nlatest"),
        "{versions}"
    );
}

#[test]
fn what_is_not_there_is_not_found() {
    for path in [
        "/2009-04-05",
        "/2009-04-05/meta-data/",
        "/1",
        "/Latest/meta-data/",
        "/latest/dynamic",
        "/latest/meta-data/ami-id",
        "/latest/meta-data/hostname/x",
        "/latest/meta-data/../user-data",
        "/latest/meta-data/public-keys/2",
        "/latest/meta-data/public-keys/0=key-0/openssh-key",
        "/latest/user-data/x",
        "/openstack/2012-08-10/network_data.json",
        "/openstack/2012-08-11/meta_data.json",
        "/openstack/latest/password",
        "/user-data",
    ] {
        let answer = look(path, &instance());
        assert_eq!(
            (answer.status, answer.outcome),
            (404, Outcome::NotFound),
            "{path}"
        );
    }
}

#[test]
fn a_server_without_networks_and_keys_has_none() {
    let mut bare = instance();
    bare.nics.clear();
    bare.public_keys.clear();
    let listed = look("/latest/meta-data/", &bare).body;
    assert_eq!(listed, b"hostname\ninstance-id\nlocal-hostname");
}

#[test]
fn tokens_are_asked_for_when_the_owner_wants_them() {
    use Credential::{Invalid, None, Valid};
    use MetadataTokens::{Optional, Required};
    for (credential, tokens, is_let_in) in [
        (None, Optional, true),
        (Valid, Optional, true),
        (Invalid, Optional, false),
        (None, Required, false),
        (Valid, Required, true),
        (Invalid, Required, false),
    ] {
        for path in ["/latest/user-data", "/openstack/latest/user_data", "/"] {
            let asked = Asked {
                credential,
                ..get(path)
            };
            match judge(&asked, tokens) {
                Verdict::Look => assert!(is_let_in, "{credential:?} {tokens:?}"),
                Verdict::Answer(answer) => {
                    assert_eq!((answer.status, is_let_in), (401, false));
                }
                Verdict::GiveToken(_) => panic!("nobody asked for a token"),
            }
        }
    }
}

#[test]
fn a_token_lives_for_as_long_as_is_asked_within_bounds() {
    for (life, expected) in [
        (Some("1"), Some(1)),
        (Some("21600"), Some(21_600)),
        (Some(" 60 "), Some(60)),
        (Some("0"), None),
        (Some("21601"), None),
        (Some("-1"), None),
        (Some("60s"), None),
        (Some(""), None),
        (Some("99999999999999999999"), None),
        (None, None),
    ] {
        let asked = Asked {
            method: Method::Put,
            token_life: life,
            ..get("/latest/api/token")
        };
        // It needs no token to get one.
        match judge(&asked, MetadataTokens::Required) {
            Verdict::GiveToken(seconds) => assert_eq!(Some(seconds), expected, "{life:?}"),
            Verdict::Answer(answer) => assert_eq!((answer.status, expected), (400, None)),
            Verdict::Look => panic!("a token is nothing to look up"),
        }
    }
}

#[test]
fn what_was_passed_on_or_would_change_something_is_refused() {
    let refused = |asked: Asked<'_>| match judge(&asked, MetadataTokens::Optional) {
        Verdict::Answer(answer) => (answer.status, answer.outcome),
        verdict => panic!("{verdict:?}"),
    };
    for method in [Method::Get, Method::Head, Method::Put, Method::Other] {
        for path in ["/", "/latest/api/token"] {
            let asked = Asked {
                method,
                is_forwarded: true,
                credential: Credential::Valid,
                token_life: Some("60"),
                path,
            };
            assert_eq!(refused(asked), (403, Outcome::Refused));
        }
    }
    for (method, path) in [
        (Method::Put, "/latest/user-data"),
        (Method::Put, "/latest/api/token/"),
        (Method::Other, "/"),
        (Method::Other, "/latest/api/token"),
        (Method::Get, "/latest/api/token"),
    ] {
        let asked = Asked {
            method,
            ..get(path)
        };
        assert_eq!(refused(asked), (405, Outcome::Refused), "{method:?} {path}");
    }
}

fn junk() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "",
        "latest",
        "openstack",
        "meta-data",
        "user-data",
        "public-keys",
        "0",
        "1",
        "openssh-key",
        "network",
        "interfaces",
        "macs",
        "02:00:00:00:00:05",
        "..",
        ".",
        "%2e%2e",
        "meta_data.json",
        "2009-04-04",
        "2015-10-15",
    ]);
    let name = prop_oneof![3 => known.prop_map(str::to_owned), 1 => any::<String>()];
    prop::collection::vec(name, 0..8).prop_map(|names| format!("/{}", names.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_path_is_found_or_not(path in junk()) {
        let answer = look(&path, &instance());
        prop_assert!(matches!(answer.status, 200 | 404), "{path:?}");
        prop_assert_eq!(answer.status == 200, answer.outcome == Outcome::Found);
        // It says nothing back of what was asked, which a browser could take for a page.
        if answer.status == 404 {
            prop_assert_eq!(answer.body, b"there is nothing of that name\n");
        }
    }

    #[test]
    fn what_is_listed_is_there(path in junk()) {
        let answer = look(&path, &instance());
        let listed = String::from_utf8(answer.body).unwrap();
        if answer.form == Form::Text && listed.lines().any(|line| line.ends_with('/')) {
            for line in listed.lines() {
                let below = look(&format!("{path}/{line}"), &instance());
                prop_assert_eq!(below.status, 200, "{} in {}", line, path);
            }
        }
    }
}
