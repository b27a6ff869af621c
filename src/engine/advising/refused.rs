//! Why the planner is not asked about a database, and what mends that.

use crate::index_advisor::workload::{WorkloadStatement, is_workload};
use crate::model::observation::Unknown;
use crate::model::remedy::Statement;
use crate::postgres::Plan;
use crate::report::setup;
use crate::sql;

/// Why the planner is not asked; where there is nothing to ask it, nothing is to be mended for that.
pub(super) fn worth_mending(unknown: Unknown, workload: &[WorkloadStatement]) -> Unknown {
    match workload.iter().any(reads_tables) {
        true => unknown,
        false => Unknown::because(
            "no statement that reads a table of this database was seen in pg_stat_statements, so there is nothing to ask the \
             planner about",
        ),
    }
}

/// Whether a statement is about tables that are not PostgreSQL's own.
fn reads_tables(statement: &WorkloadStatement) -> bool {
    let names = sql::names(&statement.text);
    is_workload(&statement.text) && names.is_ok_and(|names| !names.relations.is_empty())
}

/// What a login that looks cannot do, the one that plans can.
const GIVE_A_PLANNER: &str = "give the login that `pgadvisor setup` prints for planning as planner_dsn";

/// Whether planning would prove something.
pub(super) fn may_prove(plan: &Plan, login: &str) -> Result<(), Unknown> {
    if let Some(schema) = plan.refused_hypopg() {
        return Err(Unknown {
            reason: format!(
                "{login} may not use the schema that HypoPG is in, so the planner cannot be asked about indexes that are not \
                 there: grant it, or {GIVE_A_PLANNER}"
            ),
            remedy_sql: Some(schema.grant_usage_to(login)),
        });
    }
    if plan.hypothetical().is_none() {
        return Err(Unknown {
            reason: "HypoPG is not installed in this database, so the planner cannot be asked about indexes that are not there"
                .to_owned(),
            remedy_sql: Some(Statement::CreateExtension { name: "hypopg" }.sql()),
        });
    }
    Ok(())
}

/// Whether planning leaves everything as it is.
pub(super) fn leaves_no_trace(plan: &Plan, login: &str) -> Result<(), Unknown> {
    let because = |reason: String, remedy_sql: String| Unknown {
        reason,
        remedy_sql: Some(remedy_sql),
    };
    if !plan.leaves_counters {
        return Err(because(
            format!(
                "planning by {login} would count as scans of indexes, so that unused ones would look used: \
                 switch that off, or {GIVE_A_PLANNER}"
            ),
            setup::leave_counters(login),
        ));
    }
    if !plan.leaves_statements {
        return Err(because(
            format!("what {login} plans would fill pg_stat_statements: switch that off, or {GIVE_A_PLANNER}"),
            setup::leave_statements(login),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_to_be_mended_for_a_database_without_statements() {
        let is_mended = |texts: &[&str]| {
            let of = |text: &&str| WorkloadStatement {
                text: (*text).to_owned(),
                ..WorkloadStatement::default()
            };
            let workload: Vec<WorkloadStatement> = texts.iter().map(of).collect();
            let unknown = Unknown {
                reason: "HypoPG is missing".to_owned(),
                remedy_sql: Some(Statement::CreateExtension { name: "hypopg" }.sql()),
            };
            worth_mending(unknown, &workload).remedy_sql.is_some()
        };
        assert!(!is_mended(&[]));
        assert!(!is_mended(&[
            "SELECT $1",
            "SELECT datname FROM pg_catalog.pg_database"
        ]));
        assert!(is_mended(&[
            "SELECT $1",
            "SELECT note FROM orders WHERE customer = $1"
        ]));
    }
}
