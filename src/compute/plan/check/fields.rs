//! Which fields one version of a kind has that another has not.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinitionVersion, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// The fields of `one` that `other` does not know. What is below such a field is not told.
pub fn beyond(
    one: &CustomResourceDefinitionVersion,
    other: &CustomResourceDefinitionVersion,
) -> Vec<String> {
    let schema = |version: &CustomResourceDefinitionVersion| {
        let schema = version.schema.as_ref();
        schema
            .and_then(|schema| schema.open_api_v3_schema.clone())
            .unwrap_or_default()
    };
    let mut fields = Vec::new();
    collect("", &schema(one), &schema(other), &mut fields);
    fields
}

fn collect(path: &str, one: &JSONSchemaProps, other: &JSONSchemaProps, fields: &mut Vec<String>) {
    for (name, inner) in one.properties.iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        match other
            .properties
            .as_ref()
            .and_then(|others| others.get(name))
        {
            Some(other) => collect(&path, inner, other, fields),
            None => fields.push(path),
        }
    }
    if let (
        Some(JSONSchemaPropsOrArray::Schema(one)),
        Some(JSONSchemaPropsOrArray::Schema(other)),
    ) = (&one.items, &other.items)
    {
        collect(&format!("{path}[]"), one, other, fields);
    }
    if let (Some(JSONSchemaPropsOrBool::Schema(one)), Some(JSONSchemaPropsOrBool::Schema(other))) =
        (&one.additional_properties, &other.additional_properties)
    {
        collect(&format!("{path}{{}}"), one, other, fields);
    }
}
