//! `KeyPair`: the public half of a key that its owner logs in with.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// The public half of an SSH key, which servers let in.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kilonova.dev",
    version = "v1alpha1",
    kind = "KeyPair",
    plural = "keypairs",
    namespaced,
    status = "KeyPairStatus",
    category = "kilonova",
    shortname = "kkey",
    doc = "The public half of an SSH key, which servers let in.",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Fingerprint",
        type_ = "string",
        json_path = ".status.fingerprint"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("a key pair cannot be changed: make another one"))]
// A rule of the field would have the API server repeat the field's value, and so the private key.
#[x_kube(validation = Rule::new("!self.publicKey.contains('PRIVATE KEY')").message("publicKey holds a private key, which must never leave its owner: give the one line of the .pub file").field_path(".publicKey"))]
#[serde(rename_all = "camelCase")]
pub struct KeyPairSpec {
    /// The public key in OpenSSH's one-line form: type, base64, and a comment if you like; without a line break at its
    /// end (in YAML: not below `|`).
    #[schemars(length(max = 16384))]
    #[x_kube(validation = Rule::new(r"self.contains('PRIVATE KEY') || self.matches(r'^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com) [A-Za-z0-9+/]+={0,2}( [^\x00-\x1f\x7f]*)?$')").message("publicKey must be the one line of a .pub file: its type (ssh-ed25519, ssh-rsa, ecdsa-sha2-… or sk-…@openssh.com), a space, base64, and a comment if you like, without a line break at its end"))]
    pub public_key: String,
}

/// What the operator says of a key pair.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KeyPairStatus {
    /// The key's fingerprint, as `ssh-keygen -l` prints it: `SHA256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: whether the key is well-formed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
