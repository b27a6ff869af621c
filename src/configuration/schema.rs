//! The JSON schema of the whole file, for editors that complete and check while one types.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::check::is_share;
use super::ignore::IgnoreTable;
use super::{Budget, Refresh, RuleSchema, Server, StoreSettings, Web};

/// What pgadvisor watches, and how.
// the rules are added by what the caller tells about them
#[derive(Default, Serialize, JsonSchema)]
#[schemars(title = "pgadvisor configuration", deny_unknown_fields)]
#[serde(default)]
struct Document {
    /// The dashboard and the API.
    web: Web,
    /// Where the advisor keeps what it knows.
    store: StoreSettings,
    /// What the advisor may cost a server.
    budget: Budget,
    /// The servers to watch.
    servers: Vec<Server>,
    /// The materialized views to refresh.
    refresh: Vec<Refresh>,
    /// What nobody wants to hear of.
    ignore: Vec<IgnoreTable>,
    /// The settings of the rules, in tables such as [rules.index.unused].
    rules: BTreeMap<String, Value>,
}

/// The JSON schema of the file. `rule_schemas` has the schema of each rule's thresholds by the rule's id.
pub fn json_schema(rules: &[RuleSchema<'_>], rule_schemas: &BTreeMap<String, Value>) -> Value {
    let mut root = schema_for!(Document).to_value();
    let mut groups = Map::new();
    let mut definitions = Map::new();
    for rule in rules {
        let (group, name) = rule.id.split_once('.').unwrap_or(("", rule.id));
        let closed = json!({ "type": "object", "additionalProperties": false, "properties": {} });
        let group = groups.entry(group).or_insert(closed);
        group["properties"][name] = of_rule(rule, rule_schemas.get(rule.id), &mut definitions);
    }
    let rules = &mut root["properties"]["rules"];
    rules["additionalProperties"] = Value::Bool(false);
    rules["properties"] = Value::Object(groups);
    if !definitions.is_empty() {
        let all = root["$defs"].take();
        definitions.extend(all.as_object().cloned().unwrap_or_default());
        root["$defs"] = Value::Object(definitions);
    }
    root
}

/// One rule's table. Definitions move to the root, where its references look for them.
fn of_rule(rule: &RuleSchema<'_>, own: Option<&Value>, definitions: &mut Map<String, Value>) -> Value {
    let mut schema = own.and_then(Value::as_object).cloned().unwrap_or_default();
    schema.remove("$schema");
    // every threshold has a default
    schema.remove("required");
    if let Some(Value::Object(moved)) = schema.remove("$defs") {
        definitions.extend(moved);
    }
    let mut properties = json!({
        "enabled": { "type": "boolean", "default": true, "description": "Whether the rule is judged at all." },
        "hold": { "type": "string", "default": rule.hold,
                  "description": "How long the evidence must last before a finding opens." },
        "clear": { "type": "string", "default": rule.clear,
                   "description": "How long the evidence must be gone before a finding resolves." },
    });
    for (name, default) in rule.defaults.as_object().into_iter().flatten() {
        let own = schema.get("properties").and_then(|all| all.get(name)).cloned();
        let mut property = own.filter(Value::is_object).unwrap_or_else(|| json!({}));
        property["default"] = default.clone();
        if default.is_number() {
            property["minimum"] = json!(0);
        }
        if default.is_number() && is_share(name) {
            property["maximum"] = json!(1);
        }
        properties[name] = property;
    }
    let mut own = properties.clone();
    if let Some(own) = own.as_object_mut() {
        for (name, what) in [
            ("server", "The name of a server"),
            ("database", "The database"),
            ("object", "The thing with its schema"),
            ("role", "The role that causes it"),
        ] {
            let description = format!("{what}, or a pattern with `*`.");
            own.insert(
                name.to_owned(),
                json!({ "type": "string", "default": "*", "description": description }),
            );
        }
    }
    properties["where"] = json!({
        "type": "array",
        "description": "Settings of their own for some places and things; where several fit, the last one counts.",
        "items": { "type": "object", "properties": own, "additionalProperties": false },
    });
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), properties);
    schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    Value::Object(schema)
}

/// A server needs a name and a way to connect; the empty defaults only serve the reader.
pub(super) fn of_server(schema: &mut Schema) {
    require(schema, &["name", "dsn"]);
}

/// A refresh needs a view, and one thing that says when.
pub(super) fn of_refresh(schema: &mut Schema) {
    require(schema, &["view"]);
    let one = ["cron", "every", "max_age", "after"].map(|key| json!({ "required": [key] }));
    schema.insert("oneOf".to_owned(), json!(one));
}

/// What is ignored needs a reason.
pub(super) fn of_ignore(schema: &mut Schema) {
    require(schema, &["reason"]);
}

fn require(schema: &mut Schema, needed: &[&str]) {
    for name in needed {
        let property = schema.pointer_mut(&format!("/properties/{name}"));
        if let Some(property) = property.and_then(Value::as_object_mut) {
            property.remove("default");
            property.insert("minLength".to_owned(), json!(1));
        }
    }
    schema.insert("required".to_owned(), json!(needed));
}
