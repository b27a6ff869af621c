//! What a configuration shows of itself: the values that hold, the example, the schema.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Unused, VALID, rules};
use crate::configuration::{Configuration, json_schema};

#[test]
fn no_output_holds_a_password() {
    let read = Configuration::parse(VALID, None, &rules(), |_| Vec::new()).unwrap();
    let rows = read.effective();
    assert!(!format!("{rows:?}{:?}", read.warnings).contains("hunter2"));
    let told = |value: &str, from: &str| (value.to_owned(), from.to_owned());
    let row = |key: &str| {
        rows.iter()
            .find(|row| row.key == key)
            .map(|row| (row.shown(), row.from.clone()))
    };
    assert_eq!(
        row("servers[0].dsn"),
        Some(told("\"postgres://observer:***@db1/postgres\"", "line 12"))
    );
    assert_eq!(row("servers[1].poll_every"), Some(told("\"1 min\"", "default")));
    assert_eq!(
        row("rules.index.unused.min_age"),
        Some(told("\"60 days\"", "line 22"))
    );
    assert_eq!(row("rules.index.unused.min_pages"), Some(told("8", "default")));
    for wrong in ["dns", "databases", "password"] {
        let text = format!("[[servers]]\n{wrong} = \"postgres://u:hunter2@h?password=hunter2\"");
        let shown = Configuration::parse(&text, None, &rules(), |_| Vec::new())
            .unwrap_err()
            .to_string();
        assert!(shown.contains("2 | ") && !shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn the_example_is_valid_and_its_comments_are_the_defaults() {
    let example = include_str!("../../../config.toml");
    let values = |text: &str| {
        let read = Configuration::parse(text, None, &rules(), |_| Vec::new()).unwrap();
        assert_eq!(read.warnings, Vec::<String>::new());
        read.effective()
            .into_iter()
            .map(|row| (row.key.clone(), row.shown()))
            .collect::<Vec<_>>()
    };
    let commented =
        |line: &str| line.starts_with('#') && line.as_bytes().get(1).is_some_and(u8::is_ascii_lowercase);
    let uncommented: Vec<&str> = example
        .lines()
        .map(|line| if commented(line) { &line[1..] } else { line })
        .collect();
    assert!(uncommented.join("\n").len() + 5 < example.len());
    assert_eq!(values(example), values(&uncommented.join("\n")));
}

#[test]
fn the_schema_has_every_key() {
    let own = schemars::schema_for!(Unused).to_value();
    let schema = json_schema(&rules(), &BTreeMap::from([("index.unused".to_owned(), own)]));
    let unused = &schema["properties"]["rules"]["properties"]["index"]["properties"]["unused"]["properties"];
    assert_eq!(unused["min_age"]["default"], "35 days");
    assert_eq!(unused["min_age"]["description"], "How long without a scan.");
    assert_eq!(unused["clear"]["default"], "10 min");
    let of_a_place = &unused["where"]["items"]["properties"];
    for common in ["enabled", "hold", "clear", "min_pages"] {
        assert_eq!(of_a_place[common], unused[common], "{common}");
    }
    assert_eq!(
        (&unused["min_share"]["minimum"], &unused["min_share"]["maximum"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(
        (
            &unused["min_pages"]["minimum"],
            &unused["min_pages"].get("maximum")
        ),
        (&json!(0), &None)
    );
    let server = &schema["$defs"]["Server"];
    assert_eq!(server["required"], json!(["name", "dsn"]));
    assert_eq!(server["properties"]["poll_every"]["default"], "1 min");
    assert_eq!(server["additionalProperties"], false);
}
