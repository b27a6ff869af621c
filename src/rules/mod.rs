//! The rules. A rule is one file: a struct whose documented fields are its thresholds and whose doc comment is its manual.
//! It does no I/O, knows no clock but the observation's, and no neighbour. `registry.rs` is generated from the files.

pub mod advisor;
pub mod index;
pub mod query;
mod registry;
#[cfg(test)]
pub mod testing;
pub mod vacuum;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::finding::{
    Claim, Confidence, ConfidenceLevel, Evidence, Impact, Object, ObjectKind, Severity,
};
use crate::model::observation::{DatabaseObservation, Observation, Unknown};
use crate::model::remedy::Remedy;
use crate::model::snapshot::{IndexFacts, TableFacts};
use crate::model::unit::Period;

pub use registry::all;

/// Whether a rule judges a server once, or each of its databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Scope {
    Server,
    Database,
}

/// What a rule found in one place.
#[derive(Debug, Default)]
pub struct Found {
    /// What it claims.
    pub claims: Vec<Claim>,
    /// Subjects of which it cannot tell now; their findings keep their state.
    pub undecided: Vec<Vec<String>>,
    /// Why it does not count that a problem was not seen, where that is so.
    pub absence_is_no_proof: Option<String>,
    /// Why it cannot tell of those.
    pub untold: Option<String>,
}

/// One rule: its thresholds are its fields.
pub trait Rule: Default + Serialize + DeserializeOwned + schemars::JsonSchema {
    /// `folder.file`, the same everywhere.
    const ID: &'static str;
    /// Where it is judged.
    const SCOPE: Scope;
    /// How long the evidence must last before a finding opens.
    const HOLD: Period = Period::seconds(0);
    /// How long it must be gone before a finding resolves.
    const CLEAR: Period = Period::minutes(10);

    /// Judges one place.
    ///
    /// # Errors
    /// [`Unknown`] if a fact is missing: the rule is skipped, and resolves nothing.
    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown>;
}

/// Where a rule is judged.
pub struct Place<'a> {
    /// The server.
    pub observation: &'a Observation,
    /// The database, for rules of that scope.
    pub database: Option<&'a DatabaseObservation>,
}

impl<'a> Place<'a> {
    /// The database that is judged.
    ///
    /// # Errors
    /// If the rule is of server scope: a mistake in the rule, shown as a skipped rule.
    pub fn database(&self) -> Result<&'a DatabaseObservation, Unknown> {
        self.database
            .ok_or_else(|| Unknown::because("no database was given to this rule"))
    }

    /// A claim with its identity and nothing else yet.
    pub fn claim(
        &self,
        rule: &str,
        severity: Severity,
        subject: Vec<String>,
        object: Option<Object>,
    ) -> Claim {
        Claim {
            rule: rule.to_owned(),
            severity,
            server: self.observation.server.name.clone(),
            database: self.database.map(|database| database.name.clone()),
            object,
            subject,
            title: String::new(),
            explanation: String::new(),
            evidence: Evidence::new(),
            evidence_window: None,
            evidence_sql: None,
            impact: Impact::default(),
            confidence: measured("read from the server"),
            remedy: Remedy::default(),
            guards: Vec::new(),
        }
    }

    /// Advice to change tables and indexes is for the primary.
    ///
    /// # Errors
    /// On a standby.
    pub fn on_primary(&self) -> Result<(), Unknown> {
        match self.observation.server.is_standby {
            true => Err(Unknown::because(
                "this is a standby; its use of indexes is evidence for its primary",
            )),
            false => Ok(()),
        }
    }
}

/// Named numbers in the order in which they are told.
pub fn evidence<const N: usize>(values: [(&str, Value); N]) -> Evidence {
    values
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// A number with at most four decimals, so that JSON stays readable.
pub fn number(value: f64) -> Value {
    serde_json::json!((value * 10_000.0).round() / 10_000.0)
}

/// Known from the server's own counters.
pub fn measured(reason: &str) -> Confidence {
    Confidence {
        level: ConfidenceLevel::Measured,
        reason: reason.to_owned(),
    }
}

/// Known only nearly, and why.
pub fn estimated(reason: &str) -> Confidence {
    Confidence {
        level: ConfidenceLevel::Estimated,
        reason: reason.to_owned(),
    }
}

/// The object of an index.
pub fn index_object(index: &IndexFacts, table: &TableFacts) -> Object {
    Object {
        kind: ObjectKind::Index,
        schema: Some(index.schema.clone()),
        name: index.name.clone(),
        table: Some(table.name.clone()),
    }
}

/// A rule as the rest of the program knows it, without its type.
#[derive(Clone, Copy)]
pub struct RuleKind {
    /// `index.unused`.
    pub id: &'static str,
    /// Where it is judged.
    pub scope: Scope,
    /// See [`Rule::HOLD`].
    pub hold: Period,
    /// See [`Rule::CLEAR`].
    pub clear: Period,
    /// The default thresholds as an object.
    pub defaults: fn() -> Value,
    /// The thresholds' JSON Schema, with the manual as its description.
    pub schema: fn() -> Value,
    /// Whether an object holds thresholds of this rule.
    pub check: fn(&Value) -> Result<(), String>,
    /// Judges with these thresholds.
    pub judge: fn(&Value, &Place<'_>) -> Result<Found, Unknown>,
}

impl RuleKind {
    /// The kind of one rule.
    pub const fn of<R: Rule>() -> Self {
        Self {
            id: R::ID,
            scope: R::SCOPE,
            hold: R::HOLD,
            clear: R::CLEAR,
            defaults: || serde_json::to_value(R::default()).unwrap_or_default(),
            schema: || serde_json::to_value(schemars::schema_for!(R)).unwrap_or_default(),
            check: |thresholds| {
                R::deserialize(thresholds)
                    .map(drop)
                    .map_err(|error| error.to_string())
            },
            judge: |thresholds, place| match R::deserialize(thresholds) {
                Ok(rule) => rule.judge(place),
                Err(error) => Err(Unknown::because(format!(
                    "its thresholds cannot be used: {error}"
                ))),
            },
        }
    }

    /// The manual: the doc comment of the rule.
    pub fn manual(&self) -> String {
        let schema = (self.schema)();
        schema
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    /// Each threshold: its name, what it means, and its default.
    pub fn thresholds(&self) -> Vec<(String, String, Value)> {
        let schema = (self.schema)();
        let Value::Object(defaults) = (self.defaults)() else {
            return Vec::new();
        };
        let describe = |name: &str| {
            let text = schema["properties"][name]["description"]
                .as_str()
                .unwrap_or_default();
            text.replace('\n', " ")
        };
        defaults
            .into_iter()
            .map(|(name, default)| (name.clone(), describe(&name), default))
            .collect()
    }
}

/// The rule of that id.
pub fn find(id: &str) -> Option<RuleKind> {
    all().iter().find(|rule| rule.id == id).copied()
}

/// Whether an id fits a pattern in which `*` stands for anything.
pub fn matches(pattern: &str, id: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == id,
        Some((before, after)) => id.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.is_char_boundary(at) && matches(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_documented_and_its_defaults_pass_its_own_check() {
        for rule in all() {
            assert!(rule.manual().len() > 200, "{} needs a manual", rule.id);
            assert_eq!((rule.check)(&(rule.defaults)()), Ok(()), "{}", rule.id);
            for (name, description, _) in rule.thresholds() {
                assert!(!description.is_empty(), "{}.{name} needs a description", rule.id);
            }
        }
    }

    #[test]
    fn patterns() {
        assert!(
            matches("index.*", "index.unused") && matches("*", "a.b") && matches("*.unused", "index.unused")
        );
        assert!(!matches("index.*", "query.slow_mean") && !matches("index", "index.unused"));
    }
}
