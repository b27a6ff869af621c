//! The statements that are advised: given by hand, in a file, or captured by pg_stat_statements.

use std::collections::HashMap;

use tokio_postgres::types::Type;

use super::search_path::{SearchPath, search_path_of};
use super::sifted::counted_once;
pub(crate) use super::sifted::is_workload;
use crate::postgres::{Identifier, Observe, Plan, PostgresError, queries};
use crate::sql;

/// A statement of the workload.
#[derive(Clone, Debug, Default)]
pub struct WorkloadStatement {
    /// As the workload file names it.
    pub name: Option<String>,
    /// How much it counts: its calls, or what the file says.
    pub weight: f64,
    /// Its text.
    pub text: String,
    /// Who ran it; `None` for the login that asks.
    pub role: Option<String>,
    /// Others who ran it.
    pub other_roles: Vec<String>,
    /// Rows that a call gave on average, where that was measured.
    pub rows_per_call: Option<f64>,
    /// Seconds of execution that a call took on average, where that was measured.
    pub seconds_per_call: Option<f64>,
    /// Planning it did not end when it was cancelled, not long ago: it is left out.
    pub is_stubborn: bool,
}

/// What pg_stat_statements holds of this database.
#[derive(Debug, Default)]
pub struct Captured {
    /// The costliest statements.
    pub statements: Vec<WorkloadStatement>,
    /// Since when it counts, in days.
    pub days: Option<f64>,
    /// How many there are in all.
    pub all: usize,
    /// The part of the time of all that those take which are not among the costliest, or whose text may not be read: 0 to 1.
    pub left_out_ratio: f64,
    /// How many there are whose text this login may not read.
    pub hidden: usize,
}

/// The statements of a session's database that took most time, without ours and what looks at PostgreSQL itself. `None` if pg_stat_statements is not installed
/// there.
///
/// # Errors
/// If the server refuses, or the session is lost.
pub async fn captured(session: &Observe, limit: i64) -> Result<Option<Captured>, PostgresError> {
    let rows = session.rows(queries::EXTENSION.on(0), &[]).await?;
    let Some(schema) = rows
        .first()
        .and_then(|row| row.try_get::<_, String>("schema").ok())
    else {
        return Ok(None);
    };
    let schema = Identifier::new(schema);
    let info = session
        .rows_in_schema(queries::ADVISE_WINDOW, &schema, &[])
        .await?;
    let rows = session
        .rows_in_schema(queries::ADVISE_STATEMENTS, &schema, &[(&limit, Type::INT8)])
        .await?;
    let count = |name: &str| {
        let first = rows.first();
        first
            .and_then(|row| row.try_get::<_, i64>(name).ok())
            .map_or(0, |count| usize::try_from(count).unwrap_or(0))
    };
    let statement = |row: &tokio_postgres::Row| {
        if row.try_get("is_hidden").ok()? {
            return None;
        }
        let text: String = row.try_get("text").ok()?;
        let calls: i64 = row.try_get("calls").ok()?;
        let count: i64 = row.try_get("rows").ok()?;
        Some(WorkloadStatement {
            name: None,
            weight: calls as f64,
            // tags that somebody wrote into a comment are nothing to show
            text: sql::without_comments(&text).into_owned(),
            role: row.try_get("role").ok().flatten(),
            other_roles: Vec::new(),
            rows_per_call: Some(count as f64 / calls.max(1) as f64),
            seconds_per_call: row
                .try_get::<_, f64>("execution_ms")
                .ok()
                .map(|milliseconds| milliseconds / 1000.0 / calls.max(1) as f64),
            is_stubborn: false,
        })
    };
    let (statements, others): (Vec<WorkloadStatement>, Vec<WorkloadStatement>) = rows
        .iter()
        .filter_map(statement)
        .partition(|one| is_workload(&one.text));
    let taken = |one: &WorkloadStatement| one.weight * one.seconds_per_call.unwrap_or(0.0);
    let all_seconds = rows
        .first()
        .and_then(|row| row.try_get::<_, f64>("all_ms").ok())
        .map_or(0.0, |milliseconds| milliseconds / 1000.0)
        - others.iter().map(taken).sum::<f64>();
    let taken: f64 = statements.iter().map(taken).sum();
    Ok(Some(Captured {
        statements: counted_once(statements),
        all: count("statements").saturating_sub(others.len()),
        // what is left of a difference may be none
        left_out_ratio: match all_seconds > 1e-9 {
            true => (1.0 - taken / all_seconds).clamp(0.0, 1.0),
            false => 0.0,
        },
        hidden: count("hidden"),
        days: info.first().and_then(|row| row.try_get("days").ok().flatten()),
    }))
}

/// The search_path of each role, asked for once.
#[derive(Debug)]
pub struct SearchPaths {
    own: SearchPath,
    of_roles: HashMap<String, SearchPath>,
}

impl SearchPaths {
    /// With the path for statements of which nobody says who ran them.
    pub fn new(own: SearchPath) -> Self {
        Self {
            own,
            of_roles: HashMap::new(),
        }
    }

    /// The path under which a statement is planned.
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn of(
        &mut self,
        plan: &Plan,
        statement: &WorkloadStatement,
    ) -> Result<SearchPath, PostgresError> {
        match &statement.role {
            None => Ok(self.own.clone()),
            Some(role) => self.of_role(plan, role).await,
        }
    }

    /// Whether its names mean the same for all who ran it.
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn agree(&mut self, plan: &Plan, statement: &WorkloadStatement) -> Result<bool, PostgresError> {
        let path = self.of(plan, statement).await?;
        for role in &statement.other_roles {
            if self.of_role(plan, role).await? != path {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn of_role(&mut self, plan: &Plan, role: &str) -> Result<SearchPath, PostgresError> {
        if let Some(known) = self.of_roles.get(role) {
            return Ok(known.clone());
        }
        let path = search_path_of(plan, role).await?;
        self.of_roles.insert(role.to_owned(), path.clone());
        Ok(path)
    }
}
