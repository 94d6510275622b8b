//! Which rows to be told of, and what is told of them (RFC 7047, sections 4.1.5 and 4.1.6; ovsdb-server(7), sections
//! 4.1.12 to 4.1.16).

mod update;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value as Json, json};

pub use update::{Download, RowUpdate, SenselessUpdate, TableUpdates, Update};

use super::row::Table;
use super::schema::Schema;
use super::transaction::Condition;
use super::uuid::Uuid;

/// Which columns of which tables to be told of, of which rows.
#[derive(Clone, Debug, Default)]
pub struct Monitors(BTreeMap<String, Wanted>);

#[derive(Clone, Debug, Default)]
struct Wanted {
    columns: Vec<String>,
    conditions: Vec<Condition>,
}

/// The ways of being told, the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `monitor_cond_since`: conditions, differences, and only what has happened since a transaction.
    CondSince,
    /// `monitor_cond`: conditions and differences.
    Cond,
    /// `monitor`: RFC 7047's. All rows are told, whatever the conditions, and of a row that changes all columns.
    Plain,
}

impl Method {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::CondSince, Self::Cond, Self::Plain];

    /// What the request is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::CondSince => "monitor_cond_since",
            Self::Cond => "monitor_cond",
            Self::Plain => "monitor",
        }
    }
}

impl Monitors {
    /// Of no table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also all rows of this table.
    #[must_use]
    pub fn table<T: Table>(self) -> Self {
        self.matching::<T>(&[])
    }

    /// Also those rows of this table for which all conditions hold.
    #[must_use]
    pub fn matching<T: Table>(mut self, conditions: &[Condition]) -> Self {
        let columns = T::COLUMNS
            .iter()
            .map(|column| (*column).to_owned())
            .collect();
        let conditions = conditions.to_vec();
        self.0.insert(
            T::NAME.to_owned(),
            Wanted {
                columns,
                conditions,
            },
        );
        self
    }

    /// The names of the tables.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The tables and columns among the wanted that the database has: an older one has fewer, and refuses the others.
    pub(super) fn known_to<'a>(
        &'a self,
        schema: &'a Schema,
    ) -> impl Iterator<Item = (&'a str, Vec<&'a str>)> {
        self.0.iter().filter_map(|(table, wanted)| {
            let known = schema.tables.get(table)?;
            let columns = wanted.columns.iter().map(String::as_str);
            let columns = columns
                .filter(|column| known.columns.contains_key(*column))
                .collect();
            Some((table.as_str(), columns))
        })
    }

    /// The parameters of a request to be told under the name `id`.
    pub(super) fn params(
        &self,
        method: Method,
        schema: &Schema,
        id: &str,
        since: Option<Uuid>,
    ) -> impl Serialize + use<> {
        let mut requests = serde_json::Map::new();
        for (table, columns) in self.known_to(schema) {
            let request = match (method, self.0.get(table)) {
                (Method::CondSince | Method::Cond, Some(wanted))
                    if !wanted.conditions.is_empty() =>
                {
                    json!([{ "columns": columns, "where": wanted.conditions }])
                }
                (Method::CondSince | Method::Cond | Method::Plain, _) => {
                    json!([{ "columns": columns }])
                }
            };
            requests.insert(table.to_owned(), request);
        }
        let mut params = vec![json!(schema.name), json!(id), Json::Object(requests)];
        if method == Method::CondSince {
            params.push(json!(since.unwrap_or_default()));
        }
        params
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ovsdb::table;

    table! {
        /// Of a newer schema than the test's.
        pub struct Switch in "Logical_Switch" {
            /// Its name.
            pub name: String,
            /// What the server does not know yet.
            pub newer: Option<String>,
        }
        /// A table that the server does not know yet.
        pub struct Newer in "Newer" {
            /// Its name.
            pub name: String,
        }
    }

    #[test]
    fn only_what_the_server_knows_is_asked_for() {
        let schema = json!({"name": "db", "tables": {"Logical_Switch": {"columns": {"name": {"type": "string"}}}}});
        let schema: Schema = serde_json::from_value(schema).unwrap();
        let named = [Condition::equal("name", "s")];
        let monitors = Monitors::new().matching::<Switch>(&named).table::<Newer>();
        let params =
            |method| serde_json::to_value(monitors.params(method, &schema, "id", None)).unwrap();
        let conditional =
            json!({"Logical_Switch": [{"columns": ["name"], "where": [["name", "==", "s"]]}]});
        assert_eq!(
            params(Method::CondSince),
            json!([
                "db",
                "id",
                conditional,
                "00000000-0000-0000-0000-000000000000"
            ])
        );
        assert_eq!(params(Method::Cond), json!(["db", "id", conditional]));
        let plain = json!({"Logical_Switch": [{"columns": ["name"]}]});
        assert_eq!(params(Method::Plain), json!(["db", "id", plain]));
    }
}
