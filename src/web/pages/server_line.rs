//! A server on a line: how it stands on the overview and in every list of servers.

use serde::Serialize;
use utoipa::ToSchema;

use super::cluster::Follows;
use super::late::Late;
use super::load::rounded;
use super::present;
use super::spark::Spark;
use crate::model::status::ServerStatus;

/// A server on one line.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ServerLine {
    /// What is known of it.
    #[serde(flatten)]
    pub server: ServerStatus,
    /// Open findings by severity.
    pub critical: usize,
    #[allow(missing_docs)]
    pub warning: usize,
    #[allow(missing_docs)]
    pub info: usize,
    /// Facts that could not be read there.
    pub gaps: usize,
    /// What of it is late.
    pub late: Late,
    /// The load of the last day.
    #[serde(skip)]
    #[schema(ignore)]
    pub spark: Spark,
}

impl ServerLine {
    /// `17.6`, or that it has not been seen.
    pub fn version(&self) -> String {
        match self.server.version_num {
            Some(number) => format!("{}.{}", number / 10_000, number % 10_000),
            None => "version unknown".to_owned(),
        }
    }

    /// `primary`, `standby`, or `in recovery` where nothing proves that it follows one; nothing where it is not known. What
    /// does not answer may be something else by now.
    pub fn role(&self) -> String {
        let word = match (self.server.is_standby, Follows::of(&self.server)) {
            (None, _) => return String::new(),
            (_, Some(follows)) => follows.word(),
            (_, None) => "primary",
        };
        match self.server.unreachable {
            Some(_) => format!("{word} when it last answered"),
            None => word.to_owned(),
        }
    }

    /// `3 databases`.
    pub fn databases(&self) -> String {
        present::plural(self.server.databases.len(), "database", "databases")
    }

    /// The highest load of the day.
    pub fn peak(&self) -> Option<String> {
        self.spark.peak.map(|peak| format!("peak {}", rounded(peak)))
    }
}
