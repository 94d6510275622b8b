//! The schema of a type, as Helm needs it: it refuses what it does not know, so that a misspelt value is no silent
//! nothing.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Value, json};

/// The schema of `T`, whole, without references to look up. Its defaults are those of `values`.
pub fn of<T: JsonSchema + Serialize>(values: &T) -> serde_json::Result<Value> {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    polish(&mut schema);
    set_defaults(&mut schema, &serde_json::to_value(values)?);
    // Helm puts `global` into the values of every chart and of those within it.
    for place in ["/properties", "/properties/crds/properties"] {
        if let Some(properties) = schema.pointer_mut(place) {
            properties["global"] = json!({
                "description": "What Helm hands to every chart. Nothing of it is looked at.",
                "type": "object",
            });
        }
    }
    Ok(schema)
}

/// A type may have other defaults in one place than in another: what counts is what is there.
fn set_defaults(schema: &mut Value, values: &Value) {
    let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        schema["default"] = values.clone();
        return;
    };
    for (name, field) in fields {
        if let Some(value) = values.get(name) {
            set_defaults(field, value);
        }
    }
}

fn polish(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            // Formats of Rust's numbers are words that no validator knows; the bounds say the rest.
            map.remove("format");
            if let Some(Value::String(description)) = map.get_mut("description") {
                *description = description.replace('\n', " ");
            }
            if map.contains_key("properties") {
                // Each value within says its own.
                map.remove("default");
                map.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            if let Some(words) = map.get("oneOf").and_then(words) {
                map.remove("oneOf");
                map.insert("type".to_owned(), "string".into());
                map.insert("enum".to_owned(), words);
            }
            map.values_mut().for_each(polish);
        }
        Value::Array(items) => items.iter_mut().for_each(polish),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The words of an enum whose variants have documentation of their own; `None` for any other choice.
fn words(choice: &Value) -> Option<Value> {
    let variants = choice.as_array()?.iter();
    variants
        .map(|variant| variant.get("const").cloned())
        .collect::<Option<Vec<_>>>()
        .map(Value::Array)
}
