//! What the status page is made from.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::sql_text::SqlText;
use crate::model::finding::Event;
use crate::model::judgement::Ignored;
use crate::model::status::{Gap, Look, ServerStatus};

/// The advisor itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Advisor {
    /// Its version.
    pub version: String,
    /// When it was started.
    pub started_at: Option<DateTime<Utc>>,
    /// Where its store is.
    pub store_path: String,
    /// How large the store is, in bytes.
    pub store_bytes: f64,
    /// Findings in the store, of every state.
    pub findings: u64,
    /// The budget for its own cost on a server, as a ratio.
    pub budget_ratio: f64,
}

/// Connections to one server.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Connections {
    /// The server.
    pub server: String,
    /// Open now.
    pub open: u32,
    /// At most.
    pub limit: u32,
}

/// A bound that is in the program, and why it is there.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[allow(missing_docs)]
pub struct Limit {
    pub name: String,
    pub value: String,
    pub why: String,
}

/// A fact that could not be read, and where.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ServerGap {
    /// The server.
    pub server: String,
    /// The fact.
    #[serde(flatten)]
    pub gap: Gap,
}

impl ServerGap {
    /// The remedy in colours.
    pub fn sql(&self) -> SqlText {
        self.gap
            .remedy_sql
            .as_ref()
            .map(|sql| SqlText::of_statements(std::slice::from_ref(sql)))
            .unwrap_or_default()
    }
}

/// A problem that somebody does not want to hear of, and where.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ServerIgnored {
    /// The server.
    pub server: String,
    /// The problem.
    #[serde(flatten)]
    pub ignored: Ignored,
}

/// What the page is made from.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct StatusFacts {
    pub advisor: Advisor,
    pub servers: Vec<ServerStatus>,
    pub looks: Vec<Look>,
    pub gaps: Vec<(String, Gap)>,
    pub ignored: Vec<(String, Ignored)>,
    /// Server, database and why there is no index advice for it.
    pub no_advice: Vec<(String, String, String)>,
    pub connections: Vec<Connections>,
    pub limits: Vec<Limit>,
    /// What people did, newest first.
    pub audit: Vec<Event>,
}
