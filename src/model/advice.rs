//! Index advice as others read it: `advise.schema.json`, and what the rules judge.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::column::ColumnNow;
use super::finding::{Confidence, Window};
use super::plan::PlanLine;
use super::relation::RelationName;
use super::remedy::qualified;
use crate::sql::GroupedView;

/// What `pgadvisor advise` answers: `advise.schema.json`, and what a reader should know of how it came about.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct AdviceReport {
    pub schema_version: u32,
    pub database: String,
    pub indexes: Vec<AdvisedIndex>,
    pub workload: WorkloadTotals,
    pub statements: Vec<AdvisedStatement>,
    /// What was not as it should be: HypoPG missing, a login that leaves traces, time that was over.
    pub notes: Vec<String>,
}

/// One index to make.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct AdvisedIndex {
    pub definition: String,
    pub name: String,
    pub apply_sql: Vec<String>,
    pub undo_sql: Vec<String>,
    pub schema: String,
    pub table: String,
    /// Where it is on one partition alone: the table of which that is one.
    #[serde(skip)]
    pub partition_of: Option<RelationName>,
    pub method: String,
    pub columns: Vec<String>,
    pub include: Vec<String>,
    pub predicate: Option<String>,
    pub expressions: Vec<String>,
    pub size_bytes: Option<f64>,
    /// By what the measured statements take for what they cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_seconds: Option<f64>,
    /// Where nothing was measured: on an ordinary machine with nothing else to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assumed_build_seconds: Option<f64>,
    pub write_cost_per_day: Option<f64>,
    pub cost_before: Option<f64>,
    pub cost_after: Option<f64>,
    pub statements: Vec<String>,
    pub confidence: Confidence,
    /// Indexes that are there and serve nothing any more once this one is, each with how to drop it.
    pub supersedes: Vec<String>,
    /// Why the planner was not asked about all of that, where it was not: the definitions alone say it.
    #[serde(skip)]
    pub supersedes_unproven: Option<String>,
    /// How those of them are made again that undoing does not make.
    #[serde(skip)]
    pub supersedes_made_again: Vec<String>,
}

/// The workload as a whole, each statement's cost multiplied by its weight.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct WorkloadTotals {
    pub statements: usize,
    pub cost_before: f64,
    pub cost_after: f64,
    pub what_if_calls: usize,
    pub elapsed_seconds: f64,
    pub size_bytes: f64,
    pub budget_bytes: Option<f64>,
    /// In which the calls were counted that the weights are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<f64>,
    /// Whether it was stopped before everything was tried, and why.
    pub was_stopped: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// The ids of statements that were not planned by why they were not, in words that hold nothing of their texts.
    #[serde(skip)]
    pub not_planned: BTreeMap<String, Vec<String>>,
}

/// Why a run ended before everything was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// Somebody wanted it to end.
    Interrupted,
    /// Its time was over.
    Time,
    /// What the advisor may cost the server was used up.
    Budget,
    /// Sessions were lost with too many statements.
    LostSessions,
}

impl Stopped {
    /// As a sentence begins.
    pub fn words(self) -> &'static str {
        match self {
            Self::Interrupted => "it was stopped",
            Self::Time => "the time was over",
            Self::Budget => "what the advisor may cost the server was used up",
            Self::LostSessions => "too many statements had ended the sessions that planned them",
        }
    }
}

/// One statement, in the order in which they were given.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct AdvisedStatement {
    pub statement_id: String,
    pub name: Option<String>,
    pub text: String,
    pub weight: f64,
    pub cost_before: Option<f64>,
    pub cost_after: Option<f64>,
    pub uses: Vec<String>,
    pub status: StatementStatus,
    pub reason: Option<String>,
    /// What it costs for particular values of its parameters, for longer lists, for later pages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<TriedValue>,
    /// Whether it is planned for its first page, and there is one far behind that, as the planner reckons.
    #[serde(skip)]
    pub may_have_later_page: bool,
    /// A line for each node, where the plan becomes another one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plan_before: Vec<PlanLine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plan_after: Vec<PlanLine>,
}

/// What the parameters of a statement are: how common values are in their columns, how long lists of them are, which page is
/// asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ValueKind {
    Commonest,
    Median,
    Rare,
    /// Of lists that may have any length.
    ListOfTen,
    ListOfHundred,
    /// Far behind the first, where OFFSET is a parameter.
    LaterPage,
}

impl ValueKind {
    /// As it stands in a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Commonest => "the commonest value",
            Self::Median => "a median value",
            Self::Rare => "a rare value",
            Self::ListOfTen => "a list of 10 values",
            Self::ListOfHundred => "a list of 100 values",
            Self::LaterPage => "a page far behind the first",
        }
    }

    /// Whether it is about single values.
    pub fn is_value(self) -> bool {
        matches!(self, Self::Commonest | Self::Median | Self::Rare)
    }
}

/// A statement planned for particular parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct TriedValue {
    pub kind: ValueKind,
    pub cost_before: f64,
    pub cost_after: f64,
}

impl TriedValue {
    /// Whether the set helps for it.
    pub fn gains(&self) -> bool {
        // the planner itself does not tell costs apart that differ by less
        self.cost_after < self.cost_before * 0.99
    }
}

/// How the reason ends why a statement over catalogs is not planned: none of them is anybody's to index.
pub const OF_POSTGRESQL: &str = "is a table of PostgreSQL itself";
/// How the reason ends why a statement is not planned that reads no table, as `SELECT pg_get_viewdef($1)` of pg_dump.
pub const NAMES_NO_TABLE: &str = "and the statement names no table that an index could be missing on";
/// Why a statement is not planned in which no index could find anything.
pub const ONLY_INSERTS: &str = "it only inserts values: there is nothing in it that an index could find";

impl AdvisedIndex {
    /// That the other partitions get no index, where it is on one partition alone.
    pub fn on_one_partition(&self) -> Option<String> {
        let whole = self.partition_of.as_ref()?;
        let whole = qualified(&whole.schema, &whole.name);
        Some(format!(
            "{} is indexed alone, for it is read by its own name: the other partitions of {whole} do not get the index. What writes \
             pay for it is reckoned for all of {whole}, which is too much",
            qualified(&self.schema, &self.table)
        ))
    }
}

impl Advised {
    /// The same, to be worked out again after this time.
    pub fn again_after(self, every: Duration) -> Self {
        Self {
            every: Some(every),
            ..self
        }
    }

    /// When it was worked out, as a sentence to stand behind others, where that is longer ago than twice the time after which it was
    /// to be worked out again; else empty.
    pub fn told_when_late(&self, now: DateTime<Utc>) -> String {
        let age = (now - self.at).to_std().unwrap_or_default();
        match self.every {
            Some(every) if age > every * 2 => format!(
                " The planner was asked at {} and not again since.",
                self.at.format("%Y-%m-%d %H:%M UTC")
            ),
            _ => String::new(),
        }
    }
}

impl AdvisedStatement {
    /// Whether the whole set makes it worse.
    pub fn is_dearer(&self) -> bool {
        let costs = self.cost_before.zip(self.cost_after);
        // the planner itself does not tell costs apart that differ by less
        costs.is_some_and(|(before, after)| after > before * 1.01)
    }

    /// Whether it could have been advised, and was not planned to the end.
    pub fn is_unplanned(&self) -> bool {
        let of_users_tables =
            |reason: &String| !reason.ends_with(OF_POSTGRESQL) && !reason.ends_with(NAMES_NO_TABLE);
        self.cost_after.is_none() && self.reason.as_ref().is_none_or(of_users_tables) && !self.only_inserts()
    }

    /// Whether it was not planned since it reads nothing.
    pub fn only_inserts(&self) -> bool {
        self.reason.as_deref() == Some(ONLY_INSERTS)
    }
}

/// What became of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum StatementStatus {
    Improved,
    Unchanged,
    NoCandidate,
    NotPlanned,
}

/// What the planner said of the statements of one database, and what they did meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Advised {
    /// When it was worked out, by the server's clock.
    pub at: DateTime<Utc>,
    /// What it rests on.
    pub window: Option<Window>,
    /// Seconds of execution of all statements of the server in that window.
    pub total_seconds: f64,
    /// Why it does not count that a statement was not seen in it, where that is so.
    pub still_filling: Option<String>,
    /// The first look, where that window began before it: all that was called may have ended before anybody looked.
    pub looked_only_since: Option<DateTime<Utc>>,
    /// Seconds of execution of the statements that could have been advised, and were not planned to the end.
    pub unplanned_seconds: f64,
    /// What each of those that it planned to the end did in it, by statement_id.
    pub activity: BTreeMap<String, AdvisedActivity>,
    /// The advice.
    pub report: AdviceReport,
    /// Whether the price of writes is what was counted on the tables, not only that of the statements themselves.
    pub writes_are_counted: bool,
    /// What the planner says of drops, by the OID of the index.
    pub rehearsals: BTreeMap<u32, Rehearsal>,
    /// Statements that could read a materialized view of their groups.
    pub summary_views: Vec<SummaryView>,
    /// The columns of the tables that the statements read, by the OID of the table: for pages.
    pub columns: BTreeMap<u32, Vec<ColumnNow>>,
    /// Since when every run was stopped before all drops were rehearsed, by the server's clock; none where the last was not.
    pub unfinished_since: Option<DateTime<Utc>>,
    /// After which time it was to be worked out again; none where that is not done.
    pub every: Option<Duration>,
    /// What was advised earlier and for which statements: where none of those was seen this time, nothing can be said.
    pub earlier: BTreeMap<MissingIndex, EarlierAdvice>,
}

/// What was advised earlier against one problem.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EarlierAdvice {
    /// The statements that it was advised for, by statement_id; empty once advice that saw them named it no more.
    pub statements: BTreeSet<String>,
    /// The indexes that were advised last, so that they are known again once they are built.
    pub indexes: Vec<EarlierIndex>,
    /// Whether it was told of a standby, for which it is built on the primary.
    pub of_a_standby: bool,
}

/// An index as it was advised earlier.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct EarlierIndex {
    pub schema: String,
    pub table: String,
    /// Empty where only its definition was remembered.
    pub name: String,
    pub definition: String,
}

impl EarlierIndex {
    /// What is to be remembered of an advised index.
    pub fn of(index: &AdvisedIndex) -> Self {
        Self {
            schema: index.schema.clone(),
            table: index.table.clone(),
            name: index.name.clone(),
            definition: index.definition.clone(),
        }
    }
}

/// A statement that groups, and a materialized view that would hold its groups.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct SummaryView {
    pub statement_id: String,
    /// The schema of the first table that it reads.
    pub schema: String,
    pub first_table: String,
    /// The query of the view, what is unique in it, and what the statement becomes.
    pub grouped: GroupedView,
    /// One call of the statement, in the planner's units.
    pub cost_statement: f64,
    /// The query of the view, in the same units.
    pub cost_filling: f64,
    /// Rows of the tables that it reads.
    pub rows_read: f64,
    /// Rows that the view would hold, as the planner reckons.
    pub rows_held: f64,
    /// Bytes of each.
    pub row_bytes: f64,
    /// The tables that it reads, by OID; of a partitioned one its partitions.
    pub table_oids: Vec<u32>,
}

/// An index that may be there for nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct Droppable {
    pub oid: u32,
    pub schema: String,
    pub name: String,
}

/// What the planner says of a drop.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Rehearsal {
    /// No plan takes the index, neither for parameters in general nor for the values of them that were tried.
    Untouched { statements: usize },
    /// Some do, and cost the same without it.
    Spared { statements: usize },
    /// This one would become dearer.
    Needed {
        statement_id: String,
        cost_with: f64,
        cost_without: f64,
    },
    /// The run ended before it was tried.
    LeftOut,
    /// It could not be tried, and why.
    Unknown(String),
}

/// What is known of the drops of one database.
#[derive(Clone, Debug, Default)]
pub enum Rehearsals {
    /// Nobody asks the planner there.
    #[default]
    NotTried,
    /// The planner will be asked soon, for the first time since the advisor started.
    Coming,
    /// What came of it last.
    Known(Arc<Advised>),
}

/// The plan of a statement as it is, and with what is advised: a part of the evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PlanPair {
    pub statement_id: String,
    /// Its beginning.
    pub statement: String,
    pub before: Vec<PlanLine>,
    pub after: Vec<PlanLine>,
}

/// One statement in the window of an advice.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct AdvisedActivity {
    pub queryid: i64,
    pub calls: i64,
    pub seconds: f64,
}

/// What a missing index is known by: re-optimising changes its definition, not the problem. Whether an index is for one
/// partition alone depends on which statements the workload had just then, so that it is the whole table that lacks it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct MissingIndex {
    pub schema: String,
    pub table: String,
    /// Column or expression.
    pub leading_key: String,
}

impl MissingIndex {
    /// What an advised index is an answer to.
    pub fn of(index: &AdvisedIndex) -> Self {
        let own = (&index.schema, &index.table);
        let whole = index.partition_of.as_ref();
        let (schema, table) = whole.map_or(own, |whole| (&whole.schema, &whole.name));
        Self {
            schema: schema.clone(),
            table: table.clone(),
            leading_key: index.columns.first().cloned().unwrap_or_default(),
        }
    }

    /// As a finding is known by it.
    pub fn subject(&self) -> Vec<String> {
        vec![self.schema.clone(), self.table.clone(), self.leading_key.clone()]
    }
}
