//! Makes the documents that cloud-init reads at a server's first boot.
//!
//! Names and keys come from users. They must never be pasted into YAML: everything goes through a JSON serializer,
//! whose output is YAML too, so that no quote, newline or odd character can become anything but text.

use std::fmt::Write as _;

use serde_json::json;

use crate::api::guest::Nic;

/// User data for a server that has none: cloud-init wants the document to be there.
pub const DEFAULT_USER_DATA: &str = "#cloud-config\n{}\n";

/// Who a server is.
#[derive(Clone, Copy, Debug)]
pub struct SeedRequest<'a> {
    /// Unique for each new machine: cloud-init runs its once-only steps again when it changes. The server's UID.
    pub instance_id: &'a str,
    /// The name that the guest gives itself.
    pub hostname: &'a str,
    /// Lines for the default user's `authorized_keys`.
    pub public_keys: &'a [String],
}

/// The `meta-data` document.
pub fn meta_data(request: &SeedRequest<'_>) -> String {
    let SeedRequest {
        instance_id,
        hostname,
        public_keys,
    } = request;
    let document = json!({
        "instance-id": instance_id,
        "local-hostname": hostname,
        "public-keys": public_keys,
    });
    escape_for_yaml(&document.to_string())
}

/// The `network-config` document, version 2; none for a server without NICs, whose guest does as cloud-init does by
/// itself. Without it cloud-init would set up the first NIC only.
///
/// Each NIC is known by its MAC address and asks for its addresses, and all else, by DHCP. It gets a name, since not all of
/// cloud-init's renderers can do without. NICs that are plugged in later are set up by the guest's own means: cloud-init has
/// none that works everywhere.
pub fn network_config(nics: &[Nic]) -> Option<String> {
    if nics.is_empty() {
        return None;
    }
    let ethernet = |(place, nic): (usize, &Nic)| {
        let has_v6 = nic.addresses.iter().any(|address| !address.is_ipv4());
        let has_v4 = nic.addresses.iter().any(|address| !address.is_ipv6());
        let name = format!("nic{place}");
        let config = json!({
            "match": { "macaddress": nic.mac },
            "set-name": name,
            "dhcp4": has_v4 || !has_v6,
            "dhcp6": has_v6,
        });
        (name, config)
    };
    let ethernets: serde_json::Map<_, _> = nics.iter().enumerate().map(ethernet).collect();
    let document = json!({ "version": 2, "ethernets": ethernets });
    Some(escape_for_yaml(&document.to_string()))
}

/// Writes as `\uXXXX` what JSON allows in a string and YAML 1.1 does not, or takes for a line break: PyYAML, which
/// cloud-init reads this with, would refuse the document or fold the line.
///
/// Such characters can only be inside of strings, since a serializer writes none elsewhere.
fn escape_for_yaml(json: &str) -> String {
    let mut yaml = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                // Writing to a string cannot fail.
                let _ = write!(yaml, "\\u{:04x}", u32::from(character));
            }
            _ => yaml.push(character),
        }
    }
    yaml
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn request<'a>(hostname: &'a str, public_keys: &'a [String]) -> SeedRequest<'a> {
        SeedRequest {
            instance_id: "4ba4e3ee-7ed1-4bd8-a8b0-ae1a0b5a5d35",
            hostname,
            public_keys,
        }
    }

    fn read_as_yaml(document: &str) -> BTreeMap<String, Value> {
        serde_saphyr::from_str(document).unwrap()
    }

    #[test]
    fn the_document_has_what_no_cloud_asks_for() {
        let keys = ["ssh-ed25519 AAAA me@home".to_owned()];
        assert_eq!(
            meta_data(&request("web-1", &keys)),
            r#"{"instance-id":"4ba4e3ee-7ed1-4bd8-a8b0-ae1a0b5a5d35","local-hostname":"web-1","public-keys":["ssh-ed25519 AAAA me@home"]}"#
        );
        assert_eq!(
            read_as_yaml(&meta_data(&request("web-1", &[])))["public-keys"],
            json!([])
        );
    }

    #[test]
    fn hostile_text_stays_text() {
        for text in [
            "web\"}\ninstance-id: evil",
            "'; rm -rf / #",
            "a: b",
            "- a\n- b",
            "*alias &anchor !!python/object:os.system",
            "{{ jinja }}",
            "null",
            "<markup>&amp;</markup>",
            "tab\tbell\u{7}del\u{7f}nel\u{85}ls\u{2028}bom\u{feff}",
            "schlüssel 🔑",
            "\\u0022, \\",
            "",
        ] {
            let keys = [text.to_owned(), "second".to_owned()];
            let document = read_as_yaml(&meta_data(&request(text, &keys)));
            assert_eq!(document.len(), 3, "{text:?}");
            assert_eq!(document["local-hostname"], json!(text));
            assert_eq!(document["public-keys"], json!(keys));
        }
    }

    #[test]
    fn every_nic_asks_for_its_addresses_by_dhcp() {
        let nic = |number: u8, addresses: &[&str]| Nic {
            port: String::new(),
            name: String::new(),
            network: String::new(),
            mac: format!("02:00:00:00:00:{number:02x}").parse().unwrap(),
            mtu: 1442,
            addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
            port_security: true,
        };
        assert_eq!(network_config(&[]), None);
        let nics = [
            nic(1, &["10.0.0.5"]),
            nic(2, &["10.0.1.5", "2001:db8::5"]),
            nic(3, &["2001:db8::6"]),
            nic(4, &[]),
        ];
        let document = read_as_yaml(&network_config(&nics).unwrap());
        assert_eq!(document["version"], json!(2));
        let expected = [(true, false), (true, true), (false, true), (true, false)];
        for (place, (dhcp4, dhcp6)) in expected.into_iter().enumerate() {
            let name = format!("nic{place}");
            let expected = json!({
                "match": { "macaddress": format!("02:00:00:00:00:{:02x}", place + 1) },
                "set-name": name,
                "dhcp4": dhcp4,
                "dhcp6": dhcp6,
            });
            assert_eq!(document["ethernets"][&name], expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_text_survives(text in any::<String>()) {
            let document = meta_data(&request(&text, &[]));
            prop_assert_eq!(document.lines().count(), 1);
            let read: Value = serde_json::from_str(&document).unwrap();
            prop_assert_eq!(&read["local-hostname"], &json!(text));
        }
    }
}
