//! Whose code may run while a statement is planned.

use tokio_postgres::types::Type;

use crate::postgres::{Plan, PostgresError, column, queries};

/// Whose code may run, and who plans.
pub(super) struct Owners {
    /// OIDs of all roles that are trusted.
    pub(super) trusted: Vec<u32>,
    /// Those roles that the operator named, as far as they are known here, trusted or not.
    pub(super) named: Vec<String>,
    pub(super) planner: String,
    pub(super) is_powerful: bool,
    pub(super) is_utf8: bool,
}

impl Owners {
    /// Asks the server, with the names of the roles that the operator trusts.
    pub(super) async fn ask(plan: &Plan, names: &[String]) -> Result<Self, PostgresError> {
        // a database that is not UTF-8 may not know the characters of a name, and asking for it would be an error
        let plain: Vec<String> = names.iter().filter(|name| name.is_ascii()).cloned().collect();
        let owners = Self::of(plan, &plain).await?;
        match owners.is_utf8 && plain.len() < names.len() {
            true => Self::of(plan, names).await,
            false => Ok(owners),
        }
    }

    async fn of(plan: &Plan, names: &[String]) -> Result<Self, PostgresError> {
        let session = plan.session();
        let rows = session
            .rows(queries::GATE_OWNERS, &[(&names, Type::TEXT_ARRAY)])
            .await?;
        let row = rows.first();
        // what cannot be read trusts nobody
        Ok(Self {
            trusted: row.and_then(|row| column(row, "trusted")).unwrap_or_default(),
            named: row.and_then(|row| column(row, "named")).unwrap_or_default(),
            planner: row.and_then(|row| column(row, "planner")).unwrap_or_default(),
            is_powerful: row.and_then(|row| column(row, "is_powerful")).unwrap_or(true),
            is_utf8: row.and_then(|row| column(row, "is_utf8")).unwrap_or(false),
        })
    }
}
