//! Whether the description of the API says of answers what they are.

use serde_json::Value;

use super::api;
use crate::model::history::{Counts, HistoryPoint, IndexCounts, StatementCounts, TableCounts};
use crate::web::pages::sample;

/// The schema that is meant where one is a reference.
fn meant<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(path) => document.pointer(path.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

fn parts<'a>(schema: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    schema[key].as_array().into_iter().flatten()
}

fn is_of(word: &str, value: &Value) -> bool {
    match word {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("an unknown type {other}"),
    }
}

/// Whether a value is what a schema says: by types, alternatives, properties and items.
fn fits(document: &Value, schema: &Value, value: &Value) -> bool {
    let schema = meant(document, schema);
    let fits_part = |part: &Value| fits(document, part, value);
    let of_one = parts(schema, "oneOf").next().is_none() || parts(schema, "oneOf").any(fits_part);
    let of_all = parts(schema, "allOf").all(fits_part);
    let is_typed = match &schema["type"] {
        Value::String(word) => is_of(word, value),
        Value::Array(_) => parts(schema, "type").any(|word| is_of(word.as_str().unwrap(), value)),
        _ => true,
    };
    let mut required = parts(schema, "required").filter(|_| value.is_object());
    let is_whole = required.all(|name| value.get(name.as_str().unwrap()).is_some());
    let mut properties = schema["properties"].as_object().into_iter().flatten();
    let has_right_parts = properties.all(|(name, part)| {
        let of_value = value.get(name.as_str());
        of_value.is_none_or(|value| fits(document, part, value))
    });
    let mut elements = value.as_array().into_iter().flatten();
    let holds_right_items =
        schema["items"].is_null() || elements.all(|element| fits(document, &schema["items"], element));
    of_one && of_all && is_typed && is_whole && has_right_parts && holds_right_items
}

/// What the document says of one part of an answer.
fn property<'a>(document: &'a Value, schema: &'a Value, name: &str) -> Option<&'a Value> {
    let schema = meant(document, schema);
    schema["properties"]
        .get(name)
        .or_else(|| parts(schema, "allOf").find_map(|part| property(document, part, name)))
}

/// An hour in which nobody looked, and one in which something happened.
fn history<C: Counts + serde::Serialize>() -> Value {
    let point = |counts: Option<C>| HistoryPoint {
        from: sample::now(),
        length_seconds: 3600.0,
        seen_seconds: 3600.0,
        counts,
    };
    serde_json::to_value([point(None), point(Some(C::default()))]).unwrap()
}

#[test]
fn time_in_which_nobody_looked_is_as_it_is_described() {
    let document = serde_json::to_value(api::routes().1).unwrap();
    for (path, history) in [
        ("tables/{schema}/{name}", history::<TableCounts>()),
        ("indexes/{schema}/{name}", history::<IndexCounts>()),
        ("statements/{id}", history::<StatementCounts>()),
    ] {
        let path = format!("/api/v1/servers/{{server}}/{{database}}/{path}");
        let answer =
            &document["paths"][&path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        let described = property(&document, answer, "history").unwrap();
        assert!(fits(&document, described, &history), "{path}: {described}");
        let mut wrong = history.clone();
        wrong[1]["counts"] = Value::from("many");
        assert!(!fits(&document, described, &wrong), "{path}");
        wrong[1].as_object_mut().unwrap().remove("counts");
        wrong[1].as_object_mut().unwrap().remove("from");
        assert!(!fits(&document, described, &wrong), "{path}");
    }
}
