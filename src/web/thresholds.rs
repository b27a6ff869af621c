//! The thresholds of a rule as they are in force, and which line of the configuration each comes from.

use serde_json::Value;

use super::pages::rules::{RuleOverride, Threshold};
use crate::configuration::Configuration;
use crate::judge::{self, Override};
use crate::model::unit::Period;
use crate::rules::RuleKind;

/// A value as it is written in the configuration.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn told_line(line: usize) -> String {
    format!("configuration, line {line}")
}

/// Every threshold with these values, and `hold` and `clear`, which every rule has; `from` tells where the value of a name
/// comes from.
fn list(
    rule: &RuleKind,
    values: &Value,
    (hold, clear): (Period, Period),
    from: impl Fn(&str) -> String,
) -> Vec<Threshold> {
    let own = rule.thresholds().into_iter();
    let own = own.map(|(name, description, default)| Threshold {
        in_force: plain(&values[&name]),
        default: plain(&default),
        from: from(&name),
        description,
        name,
    });
    let common = [
        (
            "hold",
            "How long the evidence must last before a finding opens.",
            rule.hold,
            hold,
        ),
        (
            "clear",
            "How long it must be gone before a finding resolves.",
            rule.clear,
            clear,
        ),
    ];
    let common = common.map(|(name, description, default, in_force)| Threshold {
        name: name.to_owned(),
        description: description.to_owned(),
        default: default.to_string(),
        in_force: in_force.to_string(),
        from: from(name),
    });
    own.chain(common).collect()
}

/// The rule's own thresholds.
pub fn in_force(
    configuration: &Configuration,
    rule: &RuleKind,
    settings: &judge::Settings,
) -> Vec<Threshold> {
    let chosen = settings.of(rule);
    let from = |name: &str| {
        let line = configuration.origins.get(&format!("rules.{}.{name}", rule.id));
        line.map_or("default".to_owned(), |line| told_line(*line))
    };
    list(rule, &chosen.thresholds, (chosen.hold, chosen.clear), from)
}

/// Thresholds of their own for some places and things, each with what it names.
pub fn overrides(
    configuration: &Configuration,
    rule: &RuleKind,
    settings: &judge::Settings,
) -> Vec<RuleOverride> {
    let overrides = settings.of(rule).overrides;
    let told = |(number, own): (usize, &Override)| override_of(configuration, rule, number, own);
    overrides.iter().enumerate().map(told).collect()
}

fn override_of(
    configuration: &Configuration,
    rule: &RuleKind,
    number: usize,
    own: &Override,
) -> RuleOverride {
    let path = format!("rules.{}.where[{number}].", rule.id);
    let line = |name: &str| configuration.origins.get(&format!("{path}{name}")).copied();
    let origins = configuration.origins.iter();
    let first = origins
        .filter(|(key, _)| key.starts_with(&path))
        .map(|(_, line)| *line);
    let from = |name: &str| line(name).map(told_line).unwrap_or_default();
    let mut thresholds = list(rule, &own.thresholds, (own.hold, own.clear), from);
    thresholds.retain(|threshold| line(&threshold.name).is_some());
    let pattern = |pattern: &String| (pattern != "*").then(|| pattern.clone());
    RuleOverride {
        server: pattern(&own.selector.server),
        database: pattern(&own.selector.database),
        object: pattern(&own.selector.object),
        role: pattern(&own.selector.role),
        enabled: own.enabled,
        from: first.min().map(told_line).unwrap_or_default(),
        thresholds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{rule_schemas, rule_settings};
    use crate::rules;

    #[test]
    fn thresholds_of_their_own_come_with_what_they_name_and_its_line() {
        let text = r#"[rules.index.unused]
hold = "1 h"
[[rules.index.unused.where]]
object = "legacy.*"
min_age = "90 days"
[[rules.index.unused.where]]
database = "sales"
enabled = false
"#;
        let read = Configuration::parse(text, None, &rule_schemas(), |_| Vec::new()).unwrap();
        let settings = rule_settings(&read);
        let unused = rules::find("index.unused").unwrap();
        let all = in_force(&read, &unused, &settings);
        let hold = all.iter().find(|one| one.name == "hold").unwrap();
        assert_eq!(hold.from, "configuration, line 2");
        assert!(
            all.iter()
                .any(|one| one.name == "min_age" && one.from == "default")
        );
        let own = overrides(&read, &unused, &settings);
        let [legacy, sales] = &own[..] else { panic!() };
        assert_eq!(legacy.meant(), [("object", "legacy.*")]);
        let [only] = &legacy.thresholds[..] else {
            panic!("{:?}", legacy.thresholds)
        };
        assert_eq!(
            (only.name.as_str(), only.in_force.as_str(), only.from.as_str()),
            ("min_age", "90 days", "configuration, line 5")
        );
        assert_eq!(legacy.from, "configuration, line 4");
        assert_eq!(
            (sales.meant(), sales.enabled),
            (vec![("database", "sales")], false)
        );
        assert!(sales.thresholds.is_empty() && sales.from == "configuration, line 7");
        let none = overrides(&read, &rules::find("index.duplicate").unwrap(), &settings);
        assert!(none.is_empty());
    }
}
