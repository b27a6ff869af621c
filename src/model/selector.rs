//! Which problems something is about, by patterns: what `[[ignore]]` leaves out, and what thresholds of their own are for.

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::finding::{Claim, Object};

/// Whether a text fits a pattern in which `*` stands for anything.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let inside = text.strip_prefix(first).and_then(|text| text.strip_suffix(last));
    // each part at its first place leaves most for those that follow
    let found = inside.and_then(|inside| {
        middle
            .split('*')
            .try_fold(inside, |text, part| Some(&text[text.find(part)? + part.len()..]))
    });
    found.is_some()
}

/// Problems in some places, about some things. `*` alone fits everything, what has no such thing, too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Selector {
    /// The name of a server, or a pattern with `*`.
    pub server: String,
    /// The database, or a pattern.
    pub database: String,
    /// The thing with its schema, as "legacy.*"; of an index or a column its table's name counts, too.
    pub object: String,
    /// The role that causes it, or a pattern: every role must fit.
    pub role: String,
}

impl Default for Selector {
    fn default() -> Self {
        let any = || ANY.to_owned();
        Self {
            server: any(),
            database: any(),
            object: any(),
            role: any(),
        }
    }
}

/// Fits everything.
const ANY: &str = "*";

/// Whether every one of some names fits; where there is none, only "*" does.
fn fit(pattern: &str, names: &[String]) -> bool {
    pattern == ANY || !names.is_empty() && names.iter().all(|name| matches(pattern, name))
}

impl Selector {
    /// Whether a problem is meant.
    pub fn selects(&self, claim: &Claim) -> bool {
        matches(&self.server, &claim.server)
            && self.fits_database(claim.database.as_deref())
            && self.fits_object(claim.object.as_ref())
            && fit(&self.role, &claim.who.roles)
    }

    /// Whether problems of a thing in a database, or in none, are meant where no role is known to cause them: as `selects` tells
    /// of a claim of such a problem.
    pub fn selects_thing(&self, server: &str, database: Option<&str>, thing: &Object) -> bool {
        matches(&self.server, server)
            && self.fits_database(database)
            && self.fits_object(Some(thing))
            && self.is_of_every_role()
    }

    /// Whether problems of a server, and of a database where that is known, can be meant.
    pub fn may_select(&self, server: &str, database: Option<&str>) -> bool {
        let fits = database.is_none_or(|name| self.fits_database(Some(name)));
        matches(&self.server, server) && fits
    }

    /// Whether all problems of a database, or of all of a server, are meant, where `may_select` is true of it.
    pub fn is_of_all_in(&self, database: Option<&str>) -> bool {
        self.fits_database(database) && self.object == ANY && self.is_of_every_role()
    }

    /// Whether it does not matter who causes a problem.
    pub fn is_of_every_role(&self) -> bool {
        self.role == ANY
    }

    /// Whether problems of a database, or of no single one, are meant.
    pub fn fits_database(&self, database: Option<&str>) -> bool {
        self.database == ANY || database.is_some_and(|name| matches(&self.database, name))
    }

    /// Whether problems of a thing, or of none in particular, are meant.
    pub fn fits_object(&self, object: Option<&Object>) -> bool {
        if self.object == ANY {
            return true;
        }
        let Some(object) = object else { return false };
        let in_schema = |name: &str| match &object.schema {
            Some(schema) => format!("{schema}.{name}"),
            None => name.to_owned(),
        };
        // a column was told without its table once, and settings of that time still hold
        let names = [
            Some(object.qualified()),
            Some(in_schema(&object.name)),
            object.table.as_deref().map(in_schema),
        ];
        names.iter().flatten().any(|name| matches(&self.object, name))
    }

    /// What it is for, for people: `server main, object legacy.*`.
    pub fn told(&self) -> String {
        let words = [
            ("server", &self.server),
            ("database", &self.database),
            ("object", &self.object),
            ("role", &self.role),
        ];
        let named = words.iter().filter(|(_, pattern)| *pattern != ANY);
        let named: Vec<String> = named.map(|(word, pattern)| format!("{word} {pattern}")).collect();
        match named.is_empty() {
            true => "everything".to_owned(),
            false => named.join(", "),
        }
    }

    /// Whether it says which things are meant.
    pub fn names_things(&self) -> bool {
        self.object != ANY
    }

    /// Whether it leaves nothing out.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// Problems that nobody wants to hear of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ignore {
    /// The rule, as `index.unused`, or a pattern.
    pub rule: String,
    /// Where, and about what.
    pub selector: Selector,
    /// The application_name of who causes it, or a pattern: every one must fit.
    pub application: String,
    /// The last day, in UTC, on which it counts; always without one.
    pub until: Option<NaiveDate>,
    /// Why, in the words of whoever wrote it.
    pub reason: String,
}

impl Ignore {
    /// Whether it still counts.
    pub fn is_in_force(&self, now: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| now.date_naive() <= until)
    }

    /// Whether problems of a thing in a database, or in none, are meant where nobody is known to cause them.
    pub fn selects_thing(&self, server: &str, database: Option<&str>, thing: &Object) -> bool {
        self.application == ANY && self.selector.selects_thing(server, database, thing)
    }

    /// Whether a problem is meant.
    pub fn selects(&self, claim: &Claim) -> bool {
        matches(&self.rule, &claim.rule)
            && self.selector.selects(claim)
            && fit(&self.application, &claim.who.applications)
    }
}

/// What a comment begins with that asks to leave its statement alone.
const IGNORE_MARK: &str = "pgadvisor:ignore";

/// The rules, or patterns of rules, that each comment names that asks to leave its statement alone; one that names none
/// means every rule.
fn ignored_by_comments(statement: &str) -> impl Iterator<Item = Vec<&str>> {
    let comments = statement.split("/*").skip(1);
    let named = comments.filter_map(|rest| {
        let (comment, _) = rest.split_once("*/")?;
        comment.trim().strip_prefix(IGNORE_MARK)
    });
    named
        .filter(|names| names.is_empty() || names.starts_with(char::is_whitespace))
        .map(|names| {
            let names = names.split(|c: char| c.is_whitespace() || c == ',');
            names.filter(|name| !name.is_empty()).collect::<Vec<&str>>()
        })
}

/// A comment in a statement that asks to leave it alone: `/* pgadvisor:ignore */` for every rule, or with names of rules
/// behind it, as `/* pgadvisor:ignore query.slow_mean query.offset* */`.
pub fn is_ignored_by_comment(statement: &str, rule: &str) -> bool {
    ignored_by_comments(statement)
        .any(|names| names.is_empty() || names.iter().any(|pattern| matches(pattern, rule)))
}

/// Such a comment, written anew: with what may be the name or the pattern of a rule, and nothing else that stood in it. `None`
/// if it is no such comment, or names something else alone.
pub fn comment_without_words(comment: &str) -> Option<String> {
    let names = ignored_by_comments(comment).next()?;
    // every rule's name has a dot
    let is_pattern = |name: &&str| {
        let is_part = |c: char| c.is_ascii_lowercase() || matches!(c, '_' | '.' | '*');
        name.contains(['.', '*']) && name.chars().all(is_part)
    };
    written_anew(&names, &is_pattern)
}

/// A comment that named these, with those of them that are known.
fn written_anew(names: &[&str], is_known: &dyn Fn(&&str) -> bool) -> Option<String> {
    let known: Vec<&str> = names.iter().copied().filter(is_known).collect();
    match (names.is_empty(), known.is_empty()) {
        (true, _) => Some(format!("/* {IGNORE_MARK} */")),
        // without a name it would be for every rule
        (false, true) => None,
        (false, false) => Some(format!("/* {IGNORE_MARK} {} */", known.join(" "))),
    }
}

/// Such comments of a statement, written anew: with the names and patterns that fit one of `rules`, and nothing else that
/// stood in them. Empty where there is none.
pub fn comments_to_ignore(statement: &str, rules: &[&str]) -> String {
    let is_known = |pattern: &&str| rules.iter().any(|rule| matches(pattern, rule));
    let named = ignored_by_comments(statement);
    let comments: Vec<String> = named
        .filter_map(|names| written_anew(&names, &is_known))
        .collect();
    comments.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::{Object, ObjectKind, Who};

    #[test]
    fn patterns() {
        let long = "a".repeat(20_000);
        assert!(
            !matches("*a*a*a*a*a*a*b", &long),
            "a long text takes no longer than it is"
        );
        for (pattern, text) in [
            ("a*", "a"),
            ("*", ""),
            ("**", "x"),
            ("a*b*c", "a-b-b-c"),
            ("*ä*", "xäx"),
            ("*ab*ab*", "abab"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a*a", "a"),
            ("a*b*c", "a-c-b"),
            ("*ab*ab*", "ab"),
            ("", "x"),
            ("a*b", "a-b-c"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    fn claim(kind: ObjectKind, name: &str, table: Option<&str>, roles: &[&str]) -> Claim {
        let mut claim: Claim = serde_json::from_value(serde_json::json!({
            "rule": "index.unused", "severity": "info", "server": "main", "database": "sales", "object": null, "title": "t",
            "explanation": "e", "evidence": {}, "evidence_window": null, "impact": {},
            "confidence": { "level": "measured", "reason": "r" },
            "remedy": { "apply_sql": [], "undo_sql": [], "caveats": [] }, "guards": [],
        }))
        .unwrap();
        claim.object = Some(Object {
            kind,
            schema: Some("legacy".into()),
            name: name.into(),
            table: table.map(str::to_owned),
        });
        claim.who = Who {
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            applications: vec!["nightly".into()],
        };
        claim
    }

    #[test]
    fn what_is_selected() {
        let index = claim(ObjectKind::Index, "a_idx", Some("orders"), &[]);
        let statement = claim(ObjectKind::Statement, "0123", None, &["report_eu", "report_us"]);
        let with = |change: &dyn Fn(&mut Selector)| {
            let mut selector = Selector::default();
            change(&mut selector);
            (selector.selects(&index), selector.selects(&statement))
        };
        assert_eq!(with(&|_| {}), (true, true));
        assert_eq!(with(&|all| all.server = "other".into()), (false, false));
        assert_eq!(with(&|all| all.database = "s*".into()), (true, true));
        assert_eq!(with(&|all| all.object = "legacy.orders".into()), (true, false));
        assert_eq!(with(&|all| all.object = "legacy.a_*".into()), (true, false));
        assert_eq!(
            with(&|all| all.object = "orders".into()),
            (false, false),
            "the schema belongs to it"
        );
        assert_eq!(with(&|all| all.role = "report_*".into()), (false, true));
        assert_eq!(
            with(&|all| all.role = "report_eu".into()),
            (false, false),
            "another role does it, too"
        );
    }

    #[test]
    fn a_column_is_meant_with_and_without_its_table() {
        let column = claim(ObjectKind::Column, "id", Some("orders"), &[]);
        let is_meant = |object: &str| {
            let selector = Selector {
                object: object.into(),
                ..Selector::default()
            };
            selector.selects(&column)
        };
        for object in [
            "legacy.orders.id",
            "legacy.orders.*",
            "legacy.id",
            "legacy.orders",
        ] {
            assert!(is_meant(object), "{object}");
        }
        for object in ["legacy.other.id", "id", "orders.id"] {
            assert!(!is_meant(object), "{object}");
        }
    }

    #[test]
    fn an_ignore_ends_with_its_last_day() {
        let ignore = Ignore {
            until: NaiveDate::from_ymd_opt(2027, 1, 31),
            ..Ignore::default()
        };
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert!(ignore.is_in_force(at("2027-01-31T23:59:59Z")));
        assert!(!ignore.is_in_force(at("2027-02-01T00:00:00Z")));
    }

    #[test]
    fn a_comment_asks_to_be_left_alone() {
        let ignored = |text: &str| is_ignored_by_comment(text, "query.slow_mean");
        for text in [
            "/* pgadvisor:ignore */ SELECT 1",
            "SELECT 1 /*pgadvisor:ignore*/",
            "/* app */ SELECT /* pgadvisor:ignore query.time_share, query.slow_* */ 1",
        ] {
            assert!(ignored(text), "{text}");
        }
        for text in [
            "SELECT 1",
            "SELECT 'pgadvisor:ignore'",
            "/* pgadvisor:ignored */ SELECT 1",
            "/* pgadvisor:ignore query.time_share */ SELECT 1",
            "SELECT 1 /* pgadvisor:ignore",
        ] {
            assert!(!ignored(text), "{text}");
        }
    }

    #[test]
    fn of_such_comments_only_what_names_rules_is_written_anew() {
        let rules = ["query.slow_mean", "query.time_share", "index.unused"];
        for (text, kept) in [
            ("SELECT 1 /*pgadvisor:ignore*/", "/* pgadvisor:ignore */"),
            (
                "/* app hunter2 */ /* pgadvisor:ignore query.time_share, query.slow_* hunter2 */ SELECT 1",
                "/* pgadvisor:ignore query.time_share query.slow_* */",
            ),
            (
                "/* pgadvisor:ignore */ SELECT /* pgadvisor:ignore index.* */ 1",
                "/* pgadvisor:ignore */ /* pgadvisor:ignore index.* */",
            ),
            // one that named rules alone that nobody knows is not one for every rule
            ("/* pgadvisor:ignore hunter2 *hunter2* */ SELECT 1", ""),
            ("/* pgadvisor:ignored hunter2 */ SELECT 1", ""),
            ("/* pgadvisor:ignore query.time_share", ""),
            ("SELECT 1", ""),
        ] {
            assert_eq!(comments_to_ignore(text, &rules), kept, "{text}");
        }
    }
}
