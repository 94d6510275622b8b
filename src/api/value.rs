//! Value types that custom resources share: sizes, references, digests.
//!
//! Each one carries its own schema, so that the API server refuses what the type cannot hold.

use std::{
    borrow::Cow,
    fmt::{self, Write},
    str::FromStr,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest;

/// An amount of bytes, written as a Kubernetes quantity: a whole number with an optional suffix, such as
/// `512Mi`, `4Gi`, `20G` or `1073741824`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// Suffixes, largest first, so that printing finds the shortest form.
const BINARY_SUFFIXES: [(&str, u64); 5] = [
    ("Pi", 1 << 50),
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
];
const DECIMAL_SUFFIXES: [(&str, u64); 5] = [
    ("P", 1_000_000_000_000_000),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
];

/// Why a text is no [`Size`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SizeError {
    /// Not a whole number with a known suffix.
    #[error(
        "{0:?} is not a size: write a whole number with one of the suffixes Ki, Mi, Gi, Ti, Pi, k, M, G, T, P, or none"
    )]
    Malformed(String),
    /// More bytes than fit.
    #[error("{0:?} is too large")]
    TooLarge(String),
}

impl Size {
    /// This many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// This many MiB.
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// This many GiB.
    pub const fn gib(gib: u64) -> Self {
        Self(gib << 30)
    }

    /// In bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// In MiB, rounded up.
    pub const fn as_mib(self) -> u64 {
        self.0.div_ceil(1 << 20)
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let suffix = &text[digits.len()..];
        let unit = BINARY_SUFFIXES
            .iter()
            .chain(&DECIMAL_SUFFIXES)
            .find(|(name, _)| *name == suffix)
            .map_or(u64::from(suffix.is_empty()), |(_, bytes)| *bytes);
        if unit == 0 || digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(SizeError::Malformed(text.to_owned()));
        }
        let count: Option<u64> = digits.parse().ok();
        count
            .and_then(|count| count.checked_mul(unit))
            .map(Self)
            .ok_or_else(|| SizeError::TooLarge(text.to_owned()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = BINARY_SUFFIXES
            .iter()
            .find(|(_, bytes)| self.0 > 0 && self.0.is_multiple_of(*bytes));
        match suffix {
            Some((name, bytes)) => write!(f, "{}{name}", self.0 / bytes),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 4Gi")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes)
                    .map(Size)
                    .map_err(|_| E::custom("a size cannot be negative"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "minimum": 0,
            "maximum": 1_125_899_906_842_624_u64,
            "maxLength": 18,
            "pattern": "^[0-9]{1,15}(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$",
        })
    }
}

/// The schema of a [`Size`] that users write. A pattern could only quote itself at them, so what is wrong is said in
/// words by a rule of the field.
pub(super) fn size_in_words(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = Size::json_schema(generator);
    schema.remove("pattern");
    schema
}

/// Takes the words of a type out of its schema. kube lets them overwrite those of every optional field that is of the
/// type, and the fields' are the ones that say what is meant.
pub(super) fn wordless(schema: &mut Schema) {
    schema.remove("description");
}

/// The name of an object of the same project, or `project/name` for one that its owner shares.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reference(String);

impl Reference {
    /// A reference to an object; the text is what a user would write.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The namespace and name that it means to somebody in the namespace `home`.
    pub fn resolve<'a>(&'a self, home: &'a str) -> (&'a str, &'a str) {
        self.0.split_once('/').unwrap_or((home, &self.0))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for Reference {
    fn schema_name() -> Cow<'static, str> {
        "Reference".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": 317,
            "pattern": "^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/)?[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$",
        })
    }
}

/// A SHA-256 digest: 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Sha256(String);

/// Why a text is no [`Sha256`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is not a SHA-256 digest: write 64 lower-case hexadecimal digits, as sha256sum prints them"
)]
pub struct DigestError(String);

impl Sha256 {
    /// The digest of these bytes.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        sha2::Sha256::digest(bytes).into()
    }

    /// The digest as text. Safe as a file name, since it holds nothing but hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a hasher has come to.
impl From<sha2::digest::Output<sha2::Sha256>> for Sha256 {
    fn from(digest: sha2::digest::Output<sha2::Sha256>) -> Self {
        let mut text = String::with_capacity(64);
        for byte in digest {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }
}

impl FromStr for Sha256 {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let hex = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if text.len() == 64 && hex {
            Ok(Self(text.to_owned()))
        } else {
            Err(DigestError(text.to_owned()))
        }
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for Sha256 {
    fn schema_name() -> Cow<'static, str> {
        "Sha256".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 64, "maxLength": 64, "pattern": "^[0-9a-f]{64}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_kubernetes_writes_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1", 1),
            ("1Ki", 1024),
            ("4Gi", 4 << 30),
            ("20G", 20_000_000_000),
            ("3k", 3000),
        ] {
            assert_eq!(text.parse::<Size>(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "Gi",
            "-1",
            "1.5Gi",
            "4gi",
            "4 Gi",
            "4GiB",
            "+4",
            "1e3",
            "４Gi",
            "99999999999999999999",
        ] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        assert_eq!(
            "99999999Pi".parse::<Size>(),
            Err(SizeError::TooLarge("99999999Pi".into()))
        );
    }

    #[test]
    fn a_size_is_printed_in_its_shortest_exact_form() {
        for (size, text) in [
            (Size::gib(4), "4Gi"),
            (Size::mib(1536), "1536Mi"),
            (Size::bytes(1000), "1000"),
            (Size(0), "0"),
        ] {
            assert_eq!(size.to_string(), text);
            assert_eq!(text.parse::<Size>(), Ok(size));
        }
    }

    #[test]
    fn a_size_may_be_a_number_in_yaml() {
        assert_eq!(serde_json::from_str::<Size>("1024").unwrap(), Size(1024));
        assert_eq!(
            serde_json::from_str::<Size>(r#""1Ki""#).unwrap(),
            Size(1024)
        );
        assert!(serde_json::from_str::<Size>("-1").is_err());
    }

    #[test]
    fn references_stay_at_home_unless_they_name_a_project() {
        assert_eq!(Reference::new("web").resolve("shop"), ("shop", "web"));
        assert_eq!(
            Reference::new("public/web").resolve("shop"),
            ("public", "web")
        );
    }

    #[test]
    fn digests_are_exact() {
        assert!("a".repeat(64).parse::<Sha256>().is_ok());
        for text in ["", "A", &"A".repeat(64), &"g".repeat(64), &"a".repeat(63)] {
            assert!(text.parse::<Sha256>().is_err(), "{text}");
        }
    }
}
