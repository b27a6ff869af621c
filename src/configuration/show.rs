//! The effective values: what holds, and where each comes from.

use serde::Serialize;
use serde_json::Value;

use super::error::visible;
use super::name::join;
use super::{Configuration, secret};

pub(super) fn effective(configuration: &Configuration) -> Vec<(String, String, String)> {
    let mut list = List {
        configuration,
        rows: Vec::new(),
    };
    list.add("web", &configuration.web);
    list.add("store", &configuration.store);
    list.add("budget", &configuration.budget);
    for (number, server) in configuration.servers.iter().enumerate() {
        list.add(&format!("servers[{number}]"), server);
    }
    for (id, rule) in &configuration.rules {
        list.add(&format!("rules.{id}"), rule);
    }
    list.rows
}

struct List<'a> {
    configuration: &'a Configuration,
    rows: Vec<(String, String, String)>,
}

impl List<'_> {
    fn add(&mut self, path: &str, section: &impl Serialize) {
        let Ok(Value::Object(object)) = serde_json::to_value(section) else {
            return;
        };
        for (name, value) in object {
            match value {
                // a rule's thresholds stand beside its other settings in the file
                Value::Object(thresholds) if name == "thresholds" => {
                    thresholds
                        .into_iter()
                        .for_each(|(name, value)| self.row(path, &name, value));
                }
                value => self.row(path, &name, value),
            }
        }
    }

    fn row(&mut self, path: &str, name: &str, value: Value) {
        let key = join(path, name);
        let from = match self.configuration.origins.get(&key) {
            Some(line) => format!("line {line}"),
            None => "default".to_owned(),
        };
        let value = match value {
            Value::Null => "(none)".to_owned(),
            Value::String(text) if name.ends_with("dsn") => Value::from(secret::hidden(&text)).to_string(),
            value => value.to_string(),
        };
        self.rows.push((key, visible(&value), from));
    }
}
