//! The rules. A rule is one file: a struct whose documented fields are its thresholds and whose doc comment is its manual.
//! It does no I/O, knows no clock but the observation's, and no neighbour. `registry.rs` is generated from the files.

pub mod activity;
pub mod advised_remedy;
pub mod advisor;
mod built;
pub mod column_types;
pub mod config;
pub mod index;
pub mod lock_waits;
#[cfg(test)]
mod managed;
pub mod matview;
pub mod new_index;
pub mod pgss;
pub mod query;
mod registry;
pub mod replication;
pub mod sampled;
pub mod schema;
pub mod sessions;
pub mod settings;
mod standbys;
pub mod statements;
#[cfg(test)]
pub mod testing;
pub mod vacuum;
mod whole_sizes;
pub mod whole_tables;

use chrono::TimeDelta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::limits;
use crate::model::advice::{Advised, Rehearsal, Rehearsals};
use crate::model::catalog::{IndexFacts, TableFacts};
use crate::model::finding::{
    Claim, Confidence, ConfidenceLevel, Evidence, Impact, Object, ObjectKind, Severity, Who,
};
use crate::model::observation::{
    DatabaseObservation, MaterializedViewObservation, Observation, Refreshing, Unknown,
};
use crate::model::refresh::MaterializedView;
use crate::model::remedy::Remedy;
use crate::model::unit::{Period, seconds_for_people};

pub use crate::model::selector::matches;
pub use registry::all;
use sampled::SampledStatements;

/// Whether a rule judges a server once, or each of its databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Scope {
    Server,
    Database,
}

/// Whether what a rule tells depends on samples of sessions, which are taken between looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Samples {
    Read,
    Unread,
}

/// What a rule found in one place.
#[derive(Debug, Default)]
pub struct Found {
    /// What it claims.
    pub claims: Vec<Claim>,
    /// Subjects that are not claimed because there are too many that are worse; they keep the state that they have.
    pub beyond: Vec<Vec<String>>,
    /// Subjects of which it cannot tell now, or the beginnings of several; their findings keep their state.
    pub undecided: Vec<Vec<String>>,
    /// Subjects of which it saw what mends them: their findings are over at once, whatever else it cannot tell.
    pub mended: Vec<Vec<String>>,
    /// The same, with their databases, for rules that judge a server once.
    pub over: Vec<(String, Vec<String>)>,
    /// Why it does not count that a problem was not seen, where that is so.
    pub absence_is_no_proof: Option<String>,
    /// Databases and subjects of which it can tell all the same that they have no problem.
    pub decided: Vec<(String, Vec<String>)>,
    /// Why it cannot tell of those.
    pub untold: Option<String>,
}

impl Found {
    /// Takes in a claim, for rules that hand in the worst first: none is put into words that would not be kept.
    pub fn claim_worst_first(
        &mut self,
        place: &Place<'_>,
        subject: impl FnOnce() -> Vec<String>,
        claim: impl FnOnce() -> Claim,
    ) {
        match self.claims.len() < place.claims_at_most {
            true => self.claims.push(claim()),
            false => self.beyond.push(subject()),
        }
    }
}

/// One rule: its thresholds are its fields.
pub trait Rule: Default + Serialize + DeserializeOwned + schemars::JsonSchema {
    /// `folder.file`, the same everywhere.
    const ID: &'static str;
    /// Where it is judged.
    const SCOPE: Scope;
    /// Whether it needs samples of sessions.
    const SAMPLES: Samples = Samples::Unread;
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

/// Why something is not told of a standby that its primary tells.
pub const FOR_ITS_PRIMARY: &str =
    "this is a standby; what is to be changed is judged and changed on its primary";

/// Where a rule is judged.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The server.
    pub observation: &'a Observation,
    /// The database, for rules of that scope.
    pub database: Option<&'a DatabaseObservation>,
    /// What samples of sessions saw of the server's statements.
    pub sampled: &'a SampledStatements<'a>,
    /// So many of the worst claims are put into words; of the others the subjects are told.
    pub claims_at_most: usize,
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

    /// The materialized views of the database.
    ///
    /// # Errors
    /// If they could not be read.
    pub fn materialized_views(&self) -> Result<&'a [MaterializedViewObservation], Unknown> {
        match &self.database()?.materialized_views {
            Ok(views) => Ok(views),
            Err(unknown) => Err(unknown.clone()),
        }
    }

    /// Those that we refresh, with what is known of that.
    ///
    /// # Errors
    /// If views could not be read, or this is one look alone, which knows nothing of refreshes.
    pub fn refreshed_views(
        &self,
    ) -> Result<impl Iterator<Item = (&'a MaterializedView, &'a Refreshing)>, Unknown> {
        let views = self.materialized_views()?;
        if self.observation.single_look && !views.is_empty() {
            let why =
                "how refreshes go is known where the daemon runs, for the views that a [[refresh]] names";
            return Err(Unknown::because(why));
        }
        Ok(views
            .iter()
            .filter_map(|view| Some((&view.facts.view, view.refreshing.as_ref()?))))
    }

    /// What the planner says of dropping an index.
    pub fn rehearsed(&self, index_oid: u32) -> DropVerdict {
        let Some(database) = self.database else {
            return DropVerdict::NotTried;
        };
        let advised = match (&database.rehearsals, &database.advice) {
            (Rehearsals::Known(advised), _) => advised,
            (Rehearsals::Coming, _) => return DropVerdict::Coming,
            // what keeps it from being asked about missing indexes keeps it from being asked about drops
            (Rehearsals::NotTried, Err(unknown)) => return DropVerdict::GivenUp(unknown.reason.clone()),
            (Rehearsals::NotTried, Ok(_)) => return DropVerdict::NotTried,
        };
        // what was not tried because the run ended is tried again; of one look alone nothing more comes
        let untried = |why: &str| match advised.report.workload.was_stopped && !self.observation.single_look {
            true => self.awaited(advised),
            false => DropVerdict::GivenUp(why.to_owned()),
        };
        // where most of the time goes into what could not be planned, what was planned proves nothing
        let planned_seconds: f64 = advised.activity.values().map(|did| did.seconds).sum();
        if advised.unplanned_seconds > planned_seconds {
            return untried("most of their time goes into statements that could not be planned");
        }
        match advised.rehearsals.get(&index_oid) {
            Some(Rehearsal::LeftOut) if !self.observation.single_look => self.awaited(advised),
            Some(Rehearsal::LeftOut) => untried("not rehearsed: the run ended before"),
            Some(Rehearsal::Unknown(why)) => untried(why),
            None => untried(&not_among_the_rehearsed()),
            Some(Rehearsal::Untouched { statements }) => DropVerdict::Spared(format!(
                "no plan of the {statements} captured statements that could be planned takes it"
            )),
            Some(Rehearsal::Spared { statements }) => DropVerdict::Spared(format!(
                "planned away: the {statements} captured statements whose plans take it cost the same without it"
            )),
            Some(Rehearsal::Needed { .. }) => DropVerdict::Needed,
        }
    }

    /// What was not tried because the run ended is waited for, but not for ever where each run ends so.
    fn awaited(&self, advised: &Advised) -> DropVerdict {
        let patience = TimeDelta::from_std(limits::REHEARSAL_AWAITED).unwrap_or(TimeDelta::MAX);
        match advised.unfinished_since {
            Some(since) if self.observation.now - since > patience => DropVerdict::GivenUp(format!(
                "not rehearsed: for more than {} every run ended before{}",
                seconds_for_people(limits::REHEARSAL_AWAITED.as_secs_f64()),
                match advised.report.workload.stopped {
                    Some(why) => format!(" ({})", why.words()),
                    None => String::new(),
                }
            )),
            _ => DropVerdict::Coming,
        }
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
            who: Who::default(),
            hold: None,
            clear: None,
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

    /// Advice to change tables, indexes and settings of autovacuum is for the primary. A rule that asks this first tells
    /// nothing of a standby, and what it told while that was a primary is over.
    ///
    /// # Errors
    /// On a standby.
    pub fn on_primary(&self) -> Result<(), Unknown> {
        match self.observation.server.is_standby {
            true => Err(Unknown::because(FOR_ITS_PRIMARY)),
            false => Ok(()),
        }
    }

    /// Whether a rule cannot be judged here for no other reason than that this is a standby.
    pub fn is_for_its_primary(&self, unknown: &Unknown) -> bool {
        self.on_primary().is_err_and(|why| why == *unknown)
    }
}

/// What was checked before something was said, and what could not be.
#[derive(Default)]
pub struct Guards {
    checked: Vec<String>,
    unchecked: Vec<String>,
}

impl Guards {
    /// This was checked.
    pub fn checked(&mut self, what: impl Into<String>) {
        self.checked.push(what.into());
    }

    /// This would have had to be checked, and could not be.
    pub fn not_checked(&mut self, what: impl Into<String>) {
        self.unchecked.push(what.into());
    }

    /// Whether nothing was left unchecked.
    pub fn is_complete(&self) -> bool {
        self.unchecked.is_empty()
    }

    /// As they are told.
    pub fn told(&self) -> Vec<String> {
        let unchecked = self.unchecked.iter().map(|what| format!("not checked: {what}"));
        self.checked.iter().cloned().chain(unchecked).collect()
    }

    /// Measured, if everything was checked.
    pub fn confidence(&self, reason: &str) -> Confidence {
        match self.unchecked.is_empty() {
            true => measured(reason),
            false => estimated(&format!("not checked: {}", self.unchecked.join("; "))),
        }
    }
}

/// Why nothing is said of an index yet.
pub const TO_BE_REHEARSED: &str =
    "the planner is still to be asked whether captured statements would miss some indexes";

/// Why the last run did not rehearse a drop at all.
fn not_among_the_rehearsed() -> String {
    format!(
        "not rehearsed: when the planner was asked last, it was not among the {} indexes that looked most as if they were there for \
         nothing, idle for a day or more, or with another one that can stand in for them",
        limits::REHEARSED_DROPS
    )
}

/// What the planner says of dropping an index.
#[derive(Clone, Debug, PartialEq)]
pub enum DropVerdict {
    /// It was not asked.
    NotTried,
    /// It is asked soon: until then nothing is to be said.
    Coming,
    /// It could not tell, or nobody could ask it, or no run came to it for so long that it is not waited for any more; why, in words.
    GivenUp(String),
    /// No captured statement would miss the index; what was found out.
    Spared(String),
    /// One would become dearer.
    Needed,
}

impl DropVerdict {
    /// Says among the guards of a drop what the planner was asked about it.
    pub fn guard(&self, guards: &mut Guards) {
        const WITHOUT_IT: &str = "what the planner makes of the captured statements without it";
        match self {
            Self::Spared(said) => guards.checked(said.as_str()),
            Self::GivenUp(why) => guards.not_checked(format!("{WITHOUT_IT} ({why})")),
            Self::NotTried | Self::Coming | Self::Needed => guards.not_checked(WITHOUT_IT),
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

/// The object of a table.
pub fn table_object(table: &TableFacts) -> Object {
    Object {
        kind: match table.kind {
            'm' => ObjectKind::MaterializedView,
            _ => ObjectKind::Table,
        },
        schema: Some(table.schema.clone()),
        name: table.name.clone(),
        table: None,
    }
}

/// The object of a materialized view.
pub fn view_object(view: &MaterializedView) -> Object {
    Object {
        kind: ObjectKind::MaterializedView,
        schema: Some(view.name.schema.clone()),
        name: view.name.name.clone(),
        table: None,
    }
}

/// The subject of a materialized view.
pub fn view_subject(view: &MaterializedView) -> Vec<String> {
    vec![view.name.schema.clone(), view.name.name.clone()]
}

/// A rule as the rest of the program knows it, without its type.
#[derive(Clone, Copy)]
pub struct RuleKind {
    /// `index.unused`.
    pub id: &'static str,
    /// Where it is judged.
    pub scope: Scope,
    /// Whether it needs samples of sessions.
    pub samples: Samples,
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
            samples: R::SAMPLES,
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

    /// Whether its claims name the roles that cause what they tell, and mostly their applications: settings for a role can be
    /// meant for no other rule.
    pub fn names_roles(&self) -> bool {
        let is_in = |group: &str| self.id.starts_with(group);
        // a view would serve many statements, whoever sends them
        let is_nobodys = self.id == query::matview_candidate::MatviewCandidate::ID;
        let holds = self.id == vacuum::xmin_blocked::XminBlocked::ID;
        holds || is_in("activity.") || is_in("query.") && !is_nobodys
    }

    /// Whether what it claims is in a database: settings for a database can be meant for no other rule.
    pub fn names_databases(&self) -> bool {
        let is_of_databases = self.id == vacuum::xid_wraparound::XidWraparound::ID
            || self.id == advisor::privilege_gap::PrivilegeGap::ID
            || self.id == vacuum::xmin_blocked::XminBlocked::ID;
        let is_in = |group: &str| self.id.starts_with(group);
        let is_of_sessions =
            is_in("activity.") && self.id != activity::wait_hotspot::WaitHotspot::ID || is_in("query.");
        self.scope == Scope::Database || is_of_databases || is_of_sessions
    }

    /// Whether what it claims is about a thing with a name: settings for an object can be meant for no other rule.
    pub fn names_objects(&self) -> bool {
        let of_none = [
            activity::wait_hotspot::WaitHotspot::ID,
            config::logging::Logging::ID,
            config::version::Version::ID,
        ];
        !of_none.contains(&self.id)
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

/// The ids of all rules.
pub fn ids() -> Vec<&'static str> {
    all().iter().map(|rule| rule.id).collect()
}

/// The rule of that id.
pub fn find(id: &str) -> Option<RuleKind> {
    all().iter().find(|rule| rule.id == id).copied()
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
    fn which_rules_are_about_a_whole_server() {
        let of_server = all().iter().filter(|rule| !rule.names_databases());
        let of_server: Vec<&str> = of_server.map(|rule| rule.id).collect();
        for (id, is_of_server) in [
            ("config.connections", true),
            ("activity.wait_hotspot", true),
            ("replication.lag", true),
            ("vacuum.autovacuum_off", true),
            ("query.slow_mean", false),
            ("query.matview_candidate", false),
            ("activity.long_query", false),
            ("vacuum.xmin_blocked", false),
            ("config.cache_hit", false),
            ("index.unused", false),
        ] {
            assert_eq!(of_server.contains(&id), is_of_server, "{id}");
        }
        let of_no_object = all().iter().filter(|rule| !rule.names_objects());
        assert_eq!(of_no_object.count(), 3);
    }

    #[test]
    fn what_was_not_checked_is_told_and_lowers_the_confidence() {
        let mut guards = Guards::default();
        guards.checked("a");
        assert_eq!(guards.confidence("r"), measured("r"));
        guards.not_checked("b");
        assert_eq!(guards.told(), ["a", "not checked: b"]);
        assert_eq!(guards.confidence("r"), estimated("not checked: b"));
    }
}
