//! What a database has: its tables, their columns, and as much of the columns' types as differences need (RFC 7047,
//! section 3.2).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::value::Value;

/// A database's schema.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Schema {
    /// The database's name.
    pub name: String,
    /// Three numbers: major, minor, patch.
    #[serde(default)]
    pub version: String,
    /// By name.
    pub tables: BTreeMap<String, TableSchema>,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TableSchema {
    /// By name, without `_uuid` and `_version`.
    pub columns: BTreeMap<String, ColumnSchema>,
}

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct ColumnSchema {
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: ColumnType,
}

/// What tells the columns apart that are compared as wholes from those whose elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "TypeWords")]
pub struct ColumnType {
    /// Whether it may hold more than one element: then `update2` says which ones changed.
    pub is_many: bool,
    /// Whether it may hold none.
    pub is_optional: bool,
}

impl ColumnType {
    /// Whether this is what a column holds that was never written, which servers leave out.
    pub fn is_default(self, value: &Value) -> bool {
        match value {
            Value::One(atom) => !self.is_optional && atom.is_default(),
            Value::Set(atoms) => atoms.is_empty(),
            Value::Map(pairs) => pairs.is_empty(),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TypeWords {
    Atomic(#[allow(dead_code, reason = "read only to tell it from the other")] String),
    Type {
        #[serde(default = "one")]
        min: u64,
        #[serde(default = "one_max")]
        max: MaxWords,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MaxWords {
    Number(u64),
    Unlimited(#[allow(dead_code, reason = "there is one word only")] String),
}

fn one() -> u64 {
    1
}

fn one_max() -> MaxWords {
    MaxWords::Number(1)
}

impl From<TypeWords> for ColumnType {
    fn from(words: TypeWords) -> Self {
        match words {
            TypeWords::Atomic(_) => Self {
                is_many: false,
                is_optional: false,
            },
            TypeWords::Type { min, max } => Self {
                is_many: match max {
                    MaxWords::Number(max) => max > 1,
                    MaxWords::Unlimited(_) => true,
                },
                is_optional: min == 0,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_say_how_many() {
        for (words, is_many, is_optional) in [
            (json!("string"), false, false),
            (json!({"key": "string"}), false, false),
            (
                json!({"key": {"type": "integer", "minInteger": 0}, "min": 0, "max": 1}),
                false,
                true,
            ),
            (
                json!({"key": "uuid", "min": 0, "max": "unlimited"}),
                true,
                true,
            ),
            (
                json!({"key": "string", "value": "string", "min": 0, "max": "unlimited"}),
                true,
                true,
            ),
            (json!({"key": "string", "min": 1, "max": 4}), true, false),
        ] {
            let read: ColumnType = serde_json::from_value(words.clone()).unwrap();
            assert_eq!(
                read,
                ColumnType {
                    is_many,
                    is_optional
                },
                "{words}"
            );
        }
    }
}
