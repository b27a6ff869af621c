//! How busy the databases of a server were over time.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// How busy the databases of a server were over a range of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct DatabaseLoad {
    /// Those whose statements took most time, the busiest first.
    pub databases: Vec<String>,
    /// By time, oldest first.
    pub points: Vec<DatabaseLoadPoint>,
}

/// Some time with what the statements of the databases took.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DatabaseLoadPoint {
    /// When it begins.
    pub from: DateTime<Utc>,
    /// How long it is.
    pub length_seconds: f64,
    /// For how much of it the seconds stand.
    pub seen_seconds: f64,
    /// Seconds of execution of all statements of the server; null where nobody looked.
    pub seconds: Option<f64>,
    /// Of them those of each of the databases, in their order; empty where nobody looked.
    pub database_seconds: Vec<f64>,
}
