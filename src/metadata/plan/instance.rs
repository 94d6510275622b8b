//! A guest as it is told of itself: from its `Guest` and the seed beside it.

use serde::Deserialize;

use crate::api::guest::{Guest, Nic};

/// What a guest may know of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its server's UID.
    pub id: String,
    /// Its server's name.
    pub name: String,
    /// Its project.
    pub project: String,
    /// What it calls itself.
    pub hostname: String,
    /// Who may log in: lines for `authorized_keys`.
    pub public_keys: Vec<String>,
    /// What its owner wants it to do.
    pub user_data: Vec<u8>,
    /// Its NICs.
    pub nics: Vec<Nic>,
}

/// What a seed Secret holds, in the form of `compute::plan::cloud_init`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seed {
    hostname: String,
    public_keys: Vec<String>,
    user_data: Vec<u8>,
}

/// The `meta-data` document, as far as it is used here.
#[derive(Deserialize)]
struct MetaData {
    #[serde(rename = "local-hostname")]
    hostname: String,
    #[serde(rename = "public-keys", default)]
    public_keys: Vec<String>,
}

impl Seed {
    /// Reads the documents; none, if the first one is of no form that is known here.
    pub fn read(meta_data: &[u8], user_data: &[u8]) -> Option<Self> {
        let MetaData {
            hostname,
            public_keys,
        } = serde_json::from_slice(meta_data).ok()?;
        Some(Self {
            hostname,
            public_keys,
            user_data: user_data.to_vec(),
        })
    }
}

impl Instance {
    /// The guest with its seed.
    pub fn of(guest: &Guest, seed: &Seed) -> Self {
        let server = &guest.spec.server;
        Self {
            id: server.uid.clone(),
            name: server.name.clone(),
            project: server.namespace.clone(),
            hostname: seed.hostname.clone(),
            public_keys: seed.public_keys.clone(),
            user_data: seed.user_data.clone(),
            nics: guest.spec.nics.clone(),
        }
    }
}

#[cfg(test)]
pub(crate) mod fixtures {
    //! A guest with NICs, for the tests of this room.

    use serde_json::json;

    use super::*;

    /// A NIC with these addresses.
    pub fn nic(network: &str, addresses: &[&str]) -> Nic {
        Nic {
            port: "11111111-1111-1111-1111-111111111111".to_owned(),
            name: format!("web-{network}"),
            network: network.to_owned(),
            mac: "02:00:00:00:00:05".parse().unwrap(),
            mtu: 1442,
            addresses: addresses
                .iter()
                .map(|address| address.parse().unwrap())
                .collect(),
            port_security: true,
        }
    }

    /// A guest without NICs.
    pub fn guest() -> Guest {
        let digest = "0".repeat(64);
        let spec = json!({
            "server": {"namespace": "shop", "name": "web-1", "uid": "4ba4e3ee-7ed1-4bd8-a8b0-ae1a0b5a5d35"},
            "epoch": 1, "power": "Running", "restartPolicy": "Always", "shutdownGraceSeconds": 60,
            "vcpus": 1, "memoryMib": 128, "machine": "Q35", "firmware": "Bios", "secureBoot": false, "tpm": false,
            "rootDisk": {"size": "1Gi", "image": {
                "name": "shop/tiny", "url": "http://images/tiny", "sha256": digest, "format": "Qcow2"
            }},
            "seedSecret": "4ba4e3ee-7ed1-4bd8-a8b0-ae1a0b5a5d35",
        });
        Guest {
            metadata: kube::api::ObjectMeta::default(),
            spec: serde_json::from_value(spec).unwrap(),
            status: None,
        }
    }

    /// Its seed.
    pub fn seed() -> Seed {
        let keys = ["ssh-ed25519 AAAA me@home", "ssh-ed25519 BBBB you@home"];
        let meta_data = json!({
            "instance-id": "4ba4e3ee-7ed1-4bd8-a8b0-ae1a0b5a5d35",
            "local-hostname": "web-1.shop", "public-keys": keys,
        });
        Seed::read(meta_data.to_string().as_bytes(), b"#cloud-config\n{}\n").unwrap()
    }

    /// Both, with two NICs.
    pub fn instance() -> Instance {
        let mut guest = guest();
        let mut second = nic("blue", &["192.168.7.9"]);
        second.mac = "02:00:00:00:00:09".parse().unwrap();
        second.port = "22222222-2222-2222-2222-222222222222".to_owned();
        guest.spec.nics = vec![nic("red", &["10.0.0.5", "10.0.0.6", "2001:db8::5"]), second];
        Instance::of(&guest, &seed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_that_is_none_is_no_seed() {
        for document in ["", "{", "[]", r#"{"public-keys":[]}"#, "\u{0}"] {
            assert_eq!(Seed::read(document.as_bytes(), b""), None, "{document:?}");
        }
        let least = Seed::read(br#"{"local-hostname":"a"}"#, b"").unwrap();
        assert_eq!(least.public_keys, Vec::<String>::new());
    }
}
