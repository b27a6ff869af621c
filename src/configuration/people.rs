//! Settings for roles and applications where no rule names any: they are right, and never meant.

use super::{Configuration, RuleSchema};
use crate::model::selector::{Ignore, matches};

/// What says so, in words, of each of them.
pub(super) fn never_meant(configuration: &Configuration, rules: &[RuleSchema<'_>]) -> Vec<String> {
    let of_rules = rules.iter().filter(|rule| !rule.names_roles);
    let mut told: Vec<String> = of_rules.flat_map(|rule| of_rule(configuration, rule)).collect();
    for (number, ignore) in configuration.ignores.iter().enumerate() {
        let mut fitting = rules
            .iter()
            .filter(|rule| matches(&ignore.rule, rule.id))
            .peekable();
        if fitting.peek().is_some() && fitting.all(|rule| !rule.names_roles) {
            told.extend(of_ignore(configuration, number, ignore));
        }
    }
    told
}

fn of_rule(configuration: &Configuration, rule: &RuleSchema<'_>) -> Vec<String> {
    let settings = configuration.rules.get(rule.id);
    let all = settings.into_iter().flat_map(|settings| &settings.overrides);
    let of_roles = all
        .enumerate()
        .filter(|(_, own)| !own.selector.is_of_every_role());
    let told = of_roles.map(|(number, _)| {
        let key = format!("rules.{}.where[{number}].role", rule.id);
        format!(
            "{key}{} never fits: what {} finds is no role's. Take the table out, or its role",
            configuration.line_of(&key),
            rule.id
        )
    });
    told.collect()
}

fn of_ignore(configuration: &Configuration, number: usize, ignore: &Ignore) -> Option<String> {
    let which = match (ignore.selector.is_of_every_role(), ignore.application.as_str()) {
        (false, _) => "role",
        (true, "*") => return None,
        (true, _) => "application",
    };
    let key = format!("ignore[{number}].{which}");
    Some(format!(
        "{key}{} never fits: what {} finds is no {which}'s, so that nothing is ignored",
        configuration.line_of(&key),
        ignore.rule
    ))
}

#[cfg(test)]
mod tests {
    use super::super::tests::rules;
    use super::*;

    fn warnings(text: &str) -> Vec<String> {
        let read = Configuration::parse(text, None, &rules(), |_| Vec::new());
        read.unwrap().warnings
    }

    #[test]
    fn thresholds_for_a_role_are_for_rules_that_name_some() {
        let own = |rule: &str, selector: &str| {
            warnings(&format!("[[rules.{rule}.where]]\n{selector}\nenabled = false\n"))
        };
        assert_eq!(
            own("index.unused", "role = \"app\""),
            [
                "rules.index.unused.where[0].role (line 2) never fits: what index.unused finds is no role's. Take the table out, \
                 or its role"
            ]
        );
        assert!(own("index.unused", "object = \"app.*\"").is_empty());
        assert!(
            own("vacuum.dead_tuples", "role = \"app\"").is_empty(),
            "that one names roles"
        );
    }

    #[test]
    fn what_is_ignored_for_a_role_or_an_application_is_told_by_some_rule() {
        let ignore = |rule: &str, whose: &str| {
            warnings(&format!(
                "[[ignore]]\nrule = \"{rule}\"\n{whose}\nreason = \"r\"\n"
            ))
        };
        let of_role = ignore("index.*", "role = \"app\"");
        assert!(
            of_role[0].starts_with("ignore[0].role (line 3) never fits"),
            "{of_role:?}"
        );
        let of_application = ignore("index.*", "application = \"etl*\"");
        assert!(
            of_application[0].starts_with("ignore[0].application (line 3) never fits"),
            "{of_application:?}"
        );
        for (rule, whose) in [
            ("*", "role = \"app\""),
            ("vacuum.*", "application = \"etl\""),
            ("index.*", "object = \"app.*\""),
        ] {
            assert!(ignore(rule, whose).is_empty(), "{rule} {whose}");
        }
    }
}
