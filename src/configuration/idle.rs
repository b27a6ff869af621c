//! Settings that are right and do nothing, or not what they seem to.

use serde_json::Value;

use super::{Configuration, RuleOverride, RuleSchema, RuleSettings};
use crate::model::selector::{Selector, matches};
use crate::model::unit::{Period, Size};

/// What says so, in words, of each of them.
pub(super) fn told(configuration: &Configuration, rules: &[RuleSchema<'_>]) -> Vec<String> {
    let mut told = Vec::new();
    for rule in rules {
        let Some(settings) = configuration.rules.get(rule.id) else {
            continue;
        };
        let key = format!("rules.{}", rule.id);
        told.extend(falling(configuration, rule, &key, &settings.thresholds, None));
        for (number, own) in settings.overrides.iter().enumerate() {
            let key = format!("{key}.where[{number}]");
            told.extend(of_override(configuration, rule, settings, own, &key));
        }
    }
    for (number, ignore) in configuration.ignores.iter().enumerate() {
        let key = format!("ignore[{number}]");
        told.extend(empty(configuration, &key, &ignore.selector));
        let mut fitting = rules.iter().filter(|rule| matches(&ignore.rule, rule.id));
        if let Some(first) = fitting.next() {
            let names = |named: fn(&RuleSchema<'_>) -> bool| named(first) || fitting.clone().any(named);
            let (has_databases, has_objects) = (
                names(|rule| rule.names_databases),
                names(|rule| rule.names_objects),
            );
            let named = (ignore.rule.as_str(), has_databases, has_objects);
            told.extend(never_fits(configuration, &key, &ignore.selector, named));
        }
    }
    told
}

fn of_override(
    configuration: &Configuration,
    rule: &RuleSchema<'_>,
    settings: &RuleSettings,
    own: &RuleOverride,
    key: &str,
) -> Vec<String> {
    let mut told = empty(configuration, key, &own.selector);
    let named = (rule.id, rule.names_databases, rule.names_objects);
    told.extend(never_fits(configuration, key, &own.selector, named));
    told.extend(falling(
        configuration,
        rule,
        key,
        &own.thresholds,
        Some(&settings.thresholds),
    ));
    // what is set to what holds anyway may undo another table: only what says nothing at all is told
    let places = ["server", "database", "object", "role"];
    let prefix = format!("{key}.");
    let set = configuration.origins.range(prefix.clone()..);
    let mut set = set.map_while(|(name, _)| name.strip_prefix(&prefix));
    if set.all(|name| places.contains(&name)) {
        told.push(format!(
            "{key} sets nothing: all that it names is where it counts. Write what is to hold there, such as enabled = false, or take \
             the table out"
        ));
    }
    told
}

/// Patterns without a character: no name is like that.
fn empty(configuration: &Configuration, key: &str, selector: &Selector) -> Vec<String> {
    let patterns = [
        ("database", &selector.database),
        ("object", &selector.object),
        ("role", &selector.role),
    ];
    let empty = patterns.iter().filter(|(_, pattern)| pattern.is_empty());
    let told = empty.map(|(name, _)| {
        let key = format!("{key}.{name}");
        format!(
            "{key}{} never fits: it is empty, and no {name} is. Take it out where every one is meant",
            configuration.line_of(&key)
        )
    });
    told.collect()
}

/// Databases and objects where a rule's findings have none; the rule, and whether they have.
fn never_fits(
    configuration: &Configuration,
    key: &str,
    selector: &Selector,
    (rule, has_databases, has_objects): (&str, bool, bool),
) -> Vec<String> {
    let names = [
        ("database", &selector.database, has_databases),
        ("object", &selector.object, has_objects),
    ];
    let never = names
        .iter()
        .filter(|(_, pattern, has)| !has && *pattern != "*" && !pattern.is_empty());
    let told = never.map(|(name, ..)| {
        let key = format!("{key}.{name}");
        format!(
            "{key}{} never fits: what {rule} finds is about a whole server, and names no {name}",
            configuration.line_of(&key)
        )
    });
    told.collect()
}

/// The names of two thresholds of which the second makes it worse.
const STEPS: [(&str, &str); 3] = [("info", "warning"), ("info", "critical"), ("warning", "critical")];

/// Thresholds of a worse severity that are below those of a milder one, where by default they are not; of a table for some things
/// those that are not told of the rule's own.
fn falling(
    configuration: &Configuration,
    rule: &RuleSchema<'_>,
    key: &str,
    thresholds: &Value,
    elsewhere: Option<&Value>,
) -> Vec<String> {
    let Value::Object(all) = &rule.defaults else {
        return Vec::new();
    };
    let falls = |of: &Value, mild: &str, worse: &str| matches!((size(&of[mild]), size(&of[worse])), (Some(mild), Some(worse)) if worse < mild);
    let mut told = Vec::new();
    for (mild_word, worse_word) in STEPS {
        for mild in all.keys() {
            let Some(worse) = mild
                .strip_prefix(mild_word)
                .map(|rest| format!("{worse_word}{rest}"))
            else {
                continue;
            };
            let falls_in = |of: &Value| falls(of, mild, &worse);
            if !falls_in(thresholds) || falls_in(&rule.defaults) || elsewhere.is_some_and(falls_in) {
                continue;
            }
            let key = [&worse, mild]
                .map(|name| format!("{key}.{name}"))
                .into_iter()
                .find(|key| configuration.origins.contains_key(key))
                .unwrap_or_else(|| format!("{key}.{worse}"));
            told.push(format!(
                "{key}{}: {worse} = {} is below {mild} = {}, though it is to take more",
                configuration.line_of(&key),
                thresholds[worse.as_str()],
                thresholds[mild.as_str()]
            ));
        }
    }
    told
}

/// A threshold as a number that can be compared with others of its kind.
fn size(value: &Value) -> Option<f64> {
    let text = |text: &str| {
        let period = text.parse::<Period>().map(|period| period.as_seconds());
        period
            .ok()
            .or_else(|| text.parse::<Size>().ok().map(|size| size.bytes as f64))
    };
    value.as_f64().or_else(|| value.as_str().and_then(text))
}

#[cfg(test)]
mod tests {
    use super::super::tests::rules;
    use super::*;

    use serde_json::json;

    fn warnings(text: &str) -> Vec<String> {
        let read = Configuration::parse(text, None, &rules(), |_| Vec::new());
        read.unwrap().warnings
    }

    #[track_caller]
    fn assert_told(text: &str, expected: &str) {
        let told = warnings(text);
        assert!(told.len() == 1 && told[0].starts_with(expected), "{told:#?}");
    }

    #[test]
    fn empty_patterns_fit_nothing() {
        let table = "[[rules.index.unused.where]]\nenabled = false\n";
        assert_told(
            &format!("{table}object = \"\"\n"),
            "rules.index.unused.where[0].object (line 3) never fits: it is empty",
        );
        assert_told(
            "[[ignore]]\nreason = \"r\"\nrule = \"index.*\"\ndatabase = \"\"\n",
            "ignore[0].database (line 4) never fits: it is empty",
        );
        assert!(warnings(&format!("{table}object = \"app.*\"\n")).is_empty());
    }

    #[test]
    fn a_table_for_some_things_sets_something() {
        let table = "[[rules.index.unused.where]]\nobject = \"app.*\"\n";
        assert_told(table, "rules.index.unused.where[0] sets nothing");
        for line in ["enabled = true", "hold = \"1 min\"", "min_pages = 1"] {
            assert!(warnings(&format!("{table}{line}\n")).is_empty(), "{line}");
        }
    }

    #[test]
    fn what_is_about_a_whole_server_names_no_database() {
        // as a rule about connections, say
        let of_server = || {
            let mut rules = rules();
            (rules[0].names_databases, rules[0].names_objects) = (false, false);
            rules
        };
        let told = |text: &str| {
            let read = Configuration::parse(text, None, &of_server(), |_| Vec::new());
            read.unwrap().warnings
        };
        for name in ["database", "object"] {
            let own = told(&format!(
                "[[rules.index.unused.where]]\n{name} = \"app*\"\nenabled = false\n"
            ));
            let begin =
                format!("rules.index.unused.where[0].{name} (line 2) never fits: what index.unused finds");
            assert!(own.len() == 1 && own[0].starts_with(&begin), "{own:?}");
            let ignore = |rule: &str| {
                told(&format!(
                    "[[ignore]]\nrule = \"{rule}\"\n{name} = \"app*\"\nreason = \"r\"\n"
                ))
            };
            assert!(ignore("index.*")[0].starts_with(&format!("ignore[0].{name} (line 3) never fits")));
            assert!(ignore("*").is_empty(), "another rule names some");
        }
    }

    #[test]
    fn what_is_worse_takes_more() {
        let schema = |defaults: Value| RuleSchema {
            defaults,
            ..rules().remove(0)
        };
        let defaults = json!({
            "info_calls": 50, "warning_calls": 20, "warning_share": 0.1, "critical_share": 0.4, "warning_size": "1 GB",
            "critical_size": "10 GB", "warning_age": "5 min", "critical_age": "1 h"
        });
        let rule = schema(defaults.clone());
        let configuration = Configuration::defaults(&[]);
        let told = |name: &str, value: Value| {
            let mut thresholds = defaults.clone();
            thresholds[name] = value;
            let told = falling(&configuration, &rule, "rules.a", &thresholds, None);
            let again = falling(&configuration, &rule, "rules.a", &thresholds, Some(&thresholds));
            assert!(again.is_empty(), "the rule's own table tells it");
            told
        };
        assert_eq!(
            told("critical_share", json!(0.05)),
            [
                "rules.a.critical_share: critical_share = 0.05 is below warning_share = 0.1, though it is to take more"
            ]
        );
        assert_eq!(told("critical_size", json!("900 MB")).len(), 1);
        assert_eq!(told("warning_age", json!("61 min")).len(), 1);
        assert!(told("warning_age", json!("60 min")).is_empty());
        assert!(
            told("info_calls", json!(60)).is_empty(),
            "that one falls by default"
        );
    }
}
