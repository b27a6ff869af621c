//! What took the time of a server: its statements and its databases, with their share.

use serde::Serialize;
use utoipa::ToSchema;

use super::coverage::{About, Unjudged, waiting_in};
use super::server_line::ServerLine;
use crate::model::judgement::{RuleOutcome, ToldPlace};

/// A statement, and what part of the server's time it took.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BusyStatement {
    /// The database.
    pub database: String,
    /// Its identity.
    pub statement_id: String,
    /// Its text, without constants.
    pub text: String,
    /// Seconds of execution.
    pub seconds: f64,
    /// Of the time of all statements of the server, 0 to 1.
    pub share_ratio: f64,
}

/// A database, and what part of the server's time it took.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DatabaseLine {
    /// Its name.
    pub name: String,
    /// Seconds that its costliest statements were executed.
    pub seconds: f64,
    /// Of the time of all statements of the server, 0 to 1.
    pub share_ratio: f64,
    /// What its own rules cannot judge yet, since only time is lacking.
    pub waiting: Vec<Unjudged>,
}

impl DatabaseLine {
    /// Puts beside it what waits there by these outcomes, where these rules told of something: what its server's rules wait for
    /// is not told of each.
    pub(super) fn tell_waiting(
        &mut self,
        server: &str,
        outcomes: &[(String, RuleOutcome)],
        told: &[ToldPlace],
    ) {
        self.waiting = waiting_in(outcomes, told, (server, &self.name), About::Itself);
    }
}

/// Each database with what its statements took.
pub fn databases(server: &ServerLine, statements: &[BusyStatement]) -> Vec<DatabaseLine> {
    let line = |name: &String| {
        let own = statements.iter().filter(|statement| statement.database == *name);
        let (seconds, share_ratio) = own.fold((0.0, 0.0), |(seconds, share), statement| {
            (seconds + statement.seconds, share + statement.share_ratio)
        });
        DatabaseLine {
            name: name.clone(),
            seconds,
            share_ratio,
            waiting: Vec::new(),
        }
    };
    let mut lines: Vec<DatabaseLine> = server.server.databases.iter().map(line).collect();
    lines.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    lines
}
