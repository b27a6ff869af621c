//! The effective values: what holds, and where each comes from.

use serde::Serialize;
use serde_json::Value;

use super::error::visible;
use super::ignore::IgnoreTable;
use super::name::join;
use super::{Configuration, secret};

/// A key of the configuration as it is in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effective {
    /// Its path, as `servers[0].dsn`.
    pub key: String,
    /// Its value, a password in it replaced by stars.
    pub value: Value,
    /// `default`, `line 12`, or `environment PGHOST, PGUSER`.
    pub from: String,
}

impl Effective {
    /// The value as TOML writes it, for people to see.
    pub fn shown(&self) -> String {
        match &self.value {
            Value::Null => "(none)".to_owned(),
            value => visible(&value.to_string()),
        }
    }
}

/// What a place may name.
const SELECTS: [&str; 4] = ["server", "database", "object", "role"];

pub(super) fn effective(configuration: &Configuration) -> Vec<Effective> {
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
    for (number, refresh) in configuration.refreshes.iter().enumerate() {
        list.add(&format!("refresh[{number}]"), refresh);
    }
    for (number, ignore) in configuration.ignores.iter().enumerate() {
        list.add(&format!("ignore[{number}]"), &IgnoreTable::from(ignore.clone()));
    }
    for (id, rule) in &configuration.rules {
        list.add(&format!("rules.{id}"), rule);
    }
    list.rows
}

struct List<'a> {
    configuration: &'a Configuration,
    rows: Vec<Effective>,
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
                Value::Array(overrides) if name == "where" => {
                    for (number, own) in overrides.iter().enumerate() {
                        self.add(&format!("{path}.where[{number}]"), own);
                    }
                }
                value => self.row(path, &name, value),
            }
        }
    }

    fn row(&mut self, path: &str, name: &str, value: Value) {
        let key = join(path, name);
        let line = self.configuration.origins.get(&key);
        // a place that names no server is not about one of that name: nothing is written of it
        if line.is_none() && path.contains(".where[") && SELECTS.contains(&name) {
            return;
        }
        let from = match line {
            Some(line) => format!("line {line}"),
            // what a place does not say is as in the rule's own table
            None => match path.split_once(".where[") {
                Some((rule, _)) => rule.to_owned(),
                None => "default".to_owned(),
            },
        };
        let value = match value {
            Value::String(text) if name.ends_with("dsn") => Value::from(secret::hidden(&text)),
            value => value,
        };
        self.rows.push(Effective { key, value, from });
    }
}
