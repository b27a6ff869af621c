//! The rules and texts that the tests of this room share; beside it the tests of a whole file, by what they ask of it.

mod refused;
mod settings;
mod shown;

use super::*;

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Unused {
    /// How long without a scan.
    min_age: Period,
    /// Smaller ones do not matter.
    min_pages: u32,
    /// A part of a whole.
    min_share: f64,
    /// Another one.
    other_ratio: f64,
}

impl Default for Unused {
    fn default() -> Self {
        Self {
            min_age: Period::days(35),
            min_pages: 8,
            min_share: 0.5,
            other_ratio: 0.5,
        }
    }
}

pub(super) fn rules() -> Vec<RuleSchema<'static>> {
    let check = |value: &Value| {
        serde_json::from_value::<Unused>(value.clone())
            .map(drop)
            .map_err(|error| error.to_string())
    };
    ["index.unused", "vacuum.dead_tuples"]
        .map(|id| RuleSchema {
            id,
            defaults: serde_json::to_value(Unused::default()).unwrap(),
            hold: Period::default(),
            clear: Period::minutes(10),
            check,
            names_roles: id == "vacuum.dead_tuples",
            names_databases: true,
            names_objects: true,
        })
        .into()
}

const VALID: &str = r#"
[web]
listen = "127.0.0.1:9000"
public_url = "https://db.example.org/advisor"
[store]
path = "data/x.db"
retention = "30 days"
[budget]
own_cost_ratio = 1
[[servers]]
name = "main"
dsn = "postgres://observer:hunter2@db1/postgres"
password_file = "secret"
databases = ["*", "!scratch*"]
poll_every = "30 s"
[[servers]]
name = "zweiter"
dsn = "host=db2 password='hunter2'"
[rules.index.unused]
enabled = false
hold = "3 min"
min_age = "60 days"
[rules.vacuum]
dead_tuples = { min_pages = 100 }
"#;

pub(super) const WITH_SERVERS: &str =
    "[[servers]]\nname = \"a\"\ndsn = \"x\"\n[[servers]]\nname = \"b\"\ndsn = \"y\"\n";

/// The errors as `line:column key message`.
pub(super) fn errors(text: &str) -> Vec<String> {
    let Err(errors) = Configuration::parse(text, None, &rules(), |_| Vec::new()) else {
        return Vec::new();
    };
    let place = |error: &ConfigurationError| {
        error
            .place
            .as_ref()
            .map(|place| (place.line, place.column))
            .unwrap()
    };
    let shown = errors.errors.iter().map(|error| {
        let (line, column) = place(error);
        format!("{line}:{column} {} {}", error.key, error.message)
    });
    shown.collect()
}

/// Each expected error is the beginning of one found, in this order, and there is no other.
#[track_caller]
pub(super) fn assert_errors(text: &str, expected: &[&str]) {
    let found = errors(text);
    let fits = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, expected)| found.contains(expected));
    assert!(fits, "found {found:#?}\nexpected {expected:#?}");
}
