//! Operations of a transaction as JSON (RFC 7047, section 5.2), and the conditions (5.1) in them.

use serde::Serialize;

use crate::ovsdb::row::Row;
use crate::ovsdb::uuid::Uuid;
use crate::ovsdb::value::Value;

/// One operation.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    Insert {
        table: &'static str,
        row: Row,
        #[serde(rename = "uuid-name")]
        uuid_name: String,
    },
    Select {
        table: &'static str,
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
        columns: Vec<&'static str>,
    },
    Update {
        table: &'static str,
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
        row: Row,
    },
    Mutate {
        table: &'static str,
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
        mutations: Vec<Mutation>,
    },
    Delete {
        table: &'static str,
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
    },
    Wait {
        table: &'static str,
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
        columns: Vec<String>,
        until: Until,
        rows: Vec<Row>,
        /// In milliseconds.
        timeout: u64,
    },
    Comment {
        comment: String,
    },
}

impl Operation {
    /// What it does, as RFC 7047 calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Insert { .. } => "insert",
            Self::Select { .. } => "select",
            Self::Update { .. } => "update",
            Self::Mutate { .. } => "mutate",
            Self::Delete { .. } => "delete",
            Self::Wait { .. } => "wait",
            Self::Comment { .. } => "comment",
        }
    }

    /// What it does it to.
    pub fn table(&self) -> Option<&'static str> {
        match self {
            Self::Insert { table, .. }
            | Self::Select { table, .. }
            | Self::Update { table, .. }
            | Self::Mutate { table, .. }
            | Self::Delete { table, .. }
            | Self::Wait { table, .. } => Some(table),
            Self::Comment { .. } => None,
        }
    }
}

/// What a wait waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Until {
    /// That the rows that are found are the rows that are given.
    #[serde(rename = "==")]
    Equal,
    /// That they are not.
    #[serde(rename = "!=")]
    NotEqual,
}

/// Which rows an operation, or a monitor, is about: those for which each of its conditions holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Condition(String, Function, Value);

/// How a column is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Function {
    /// It is less: numbers only.
    #[serde(rename = "<")]
    Less,
    /// It is less or equal: numbers only.
    #[serde(rename = "<=")]
    LessOrEqual,
    /// It is equal.
    #[serde(rename = "==")]
    Equal,
    /// It is not equal.
    #[serde(rename = "!=")]
    NotEqual,
    /// It is greater or equal: numbers only.
    #[serde(rename = ">=")]
    GreaterOrEqual,
    /// It is greater: numbers only.
    #[serde(rename = ">")]
    Greater,
    /// It holds all elements of the value.
    #[serde(rename = "includes")]
    Includes,
    /// It holds no element of the value.
    #[serde(rename = "excludes")]
    Excludes,
}

impl Condition {
    /// A comparison of a column with a value.
    pub fn new(column: &str, function: Function, value: impl Into<Value>) -> Self {
        Self(column.to_owned(), function, value.into())
    }

    /// A column equals a value.
    pub fn equal(column: &str, value: impl Into<Value>) -> Self {
        Self::new(column, Function::Equal, value)
    }

    /// It is this row.
    pub fn row(uuid: Uuid) -> Self {
        Self::equal("_uuid", uuid)
    }
}

/// A change of a column that needs no knowledge of what is in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mutation(String, Mutator, Value);

/// How a column is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Mutator {
    /// A number is added.
    #[serde(rename = "+=")]
    Add,
    /// A number is taken away.
    #[serde(rename = "-=")]
    Subtract,
    /// Elements of a set, or pairs of a map, are put in unless they (their keys) are there.
    #[serde(rename = "insert")]
    Insert,
    /// Elements of a set, or pairs or keys of a map, are taken out.
    #[serde(rename = "delete")]
    Delete,
}

impl Mutation {
    /// A change of a column by a value.
    pub fn new(column: &str, mutator: Mutator, value: impl Into<Value>) -> Self {
        Self(column.to_owned(), mutator, value.into())
    }

    /// Elements or pairs are put in. A pair whose key is there changes nothing.
    pub fn insert(column: &str, value: impl Into<Value>) -> Self {
        Self::new(column, Mutator::Insert, value)
    }

    /// Elements, pairs or keys are taken out.
    pub fn delete(column: &str, value: impl Into<Value>) -> Self {
        Self::new(column, Mutator::Delete, value)
    }
}
