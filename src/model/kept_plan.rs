//! Plans as they are remembered: without constants, and known by their shape.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::plan::PlanLine;

/// One node of a plan, without constants: a mark stands for each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub struct KeptNode {
    /// As it is told.
    #[serde(flatten)]
    pub line: PlanLine,
    /// As `Index Scan`.
    pub kind: String,
    /// Of a join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    pub startup_cost: f64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sort_key: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_key: Vec<String>,
}

/// A plan without constants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanShape {
    /// The same for plans that differ in nothing but estimates and constants.
    pub shape: String,
    /// The cost of the whole plan, in the planner's units.
    pub cost: f64,
    /// Each before those below it.
    pub nodes: Vec<KeptNode>,
    /// Nodes that were too many to be kept.
    pub nodes_left_out: usize,
}

/// What the planner answered about one statement.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptPlan {
    /// The database.
    pub database: String,
    /// The statement.
    pub statement_id: String,
    /// Its plan, or why it was not planned, in words that hold nothing of its text.
    pub outcome: Result<PlanShape, String>,
}

/// A plan that a statement had.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SeenPlan {
    /// The plan as it was seen last.
    #[serde(flatten)]
    pub plan: PlanShape,
    /// When it was seen first.
    pub first_seen_at: DateTime<Utc>,
    /// Since when it was seen without another one between.
    pub since: DateTime<Utc>,
    /// When it was seen last.
    pub last_seen_at: DateTime<Utc>,
    /// Its cost when it was seen first.
    pub first_cost: f64,
}

/// What is known of the plans of one statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanHistory {
    /// One for each shape, the one that was seen last first.
    pub plans: Vec<SeenPlan>,
    /// When it was not planned, and why, if that is the last that is known.
    pub unplanned: Option<(DateTime<Utc>, String)>,
    /// When plans of the database were read last, of whichever statement.
    pub read_at: Option<DateTime<Utc>>,
}
