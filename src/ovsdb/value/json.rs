//! Values as JSON (RFC 7047, section 5.1: `<value>`, `<atom>`, `<set>`, `<map>`, `<uuid>`, `<named-uuid>`).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeTuple, Serializer};

use super::{Atom, Real, Value};
use crate::ovsdb::uuid::Uuid;

/// What the first element of an array says about the second.
#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Tag {
    Uuid,
    NamedUuid,
    Set,
    Map,
}

impl Serialize for Atom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Real(Real(number)) => serializer.serialize_f64(*number),
            Self::Boolean(truth) => serializer.serialize_bool(*truth),
            Self::String(text) => serializer.serialize_str(text),
            Self::Uuid(uuid) => ("uuid", uuid).serialize(serializer),
            Self::Named(name) => ("named-uuid", &**name).serialize(serializer),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(atom) => atom.serialize(serializer),
            Self::Set(atoms) => ("set", atoms).serialize(serializer),
            Self::Map(pairs) => {
                let mut tuple = serializer.serialize_tuple(2)?;
                tuple.serialize_element("map")?;
                tuple.serialize_element(&pairs.iter().collect::<Vec<_>>())?;
                tuple.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Atom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(ValueVisitor)? {
            Value::One(atom) => Ok(atom),
            Value::Set(_) | Value::Map(_) => Err(D::Error::custom("no set or map can be here")),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a truth, a text, a UUID, a set or a map")
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Atom::Boolean(truth).into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Atom::Integer(number).into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        let number = i64::try_from(number)
            .map_err(|_| E::custom(format!("{number} is beyond 64-bit integers")))?;
        Ok(Atom::Integer(number).into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Atom::Real(Real(number)).into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Atom::String(text.to_owned()).into())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(Atom::String(text).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Value, A::Error> {
        let lacking = || A::Error::custom("an array must be a tag and what it says");
        let value = match array.next_element()?.ok_or_else(lacking)? {
            Tag::Uuid => {
                let uuid: Uuid = array.next_element()?.ok_or_else(lacking)?;
                Atom::Uuid(uuid).into()
            }
            Tag::NamedUuid => {
                let name: String = array.next_element()?.ok_or_else(lacking)?;
                Atom::Named(name.into()).into()
            }
            Tag::Set => {
                let atoms: Vec<Atom> = array.next_element()?.ok_or_else(lacking)?;
                Value::set(atoms)
            }
            Tag::Map => {
                let pairs: Vec<(Atom, Atom)> = array.next_element()?.ok_or_else(lacking)?;
                Value::Map(BTreeMap::from_iter(pairs))
            }
        };
        match array.next_element::<serde::de::IgnoredAny>()? {
            None => Ok(value),
            Some(_) => Err(lacking()),
        }
    }
}
