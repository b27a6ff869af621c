//! Statements that group many rows, as materialized views: what such a view would hold is planned like any statement, so that
//! the planner says what filling it costs.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::{ToSql, Type};

use super::first_plan::explain;
use super::gate::Gate;
use super::ready::Ready;
use super::search_path::SearchPath;
use super::tables::Table;
use crate::limits;
use crate::model::advice::SummaryView;
use crate::postgres::{Plan, PostgresError, column_or_default, queries};
use crate::sql::{self, KnownTable};

/// The statements of a workload that could read such a view, the costliest first.
///
/// # Errors
/// If the session is lost.
pub(super) async fn summary_views(
    plan: &Plan,
    gate: &mut Gate,
    ready: &Ready,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<SummaryView>, PostgresError> {
    let cost = |number: usize| {
        let told = &ready.statements[ready.positions[number]];
        told.cost_before.unwrap_or(0.0) * told.statement.weight
    };
    let mut costliest: Vec<usize> = (0..ready.planned.len()).collect();
    costliest.sort_by(|a, b| cost(*b).total_cmp(&cost(*a)));
    let mut views = Vec::new();
    for number in costliest {
        if stop() || views.len() >= limits::SUMMARY_VIEWS {
            break;
        }
        let told = &ready.statements[ready.positions[number]];
        let Some(named) = sql::named_in_grouping(&told.statement.text) else {
            continue;
        };
        let path = &ready.planned[number].search_path;
        let known = known_tables(plan, &named.tables, path).await?;
        let table = |schema: &str, name: &str| {
            let named = (schema.to_owned(), name.to_owned());
            known.get(&named).map(|(_, table)| table.clone())
        };
        let Some(view) = sql::grouped_view(&told.statement.text, &table) else {
            continue;
        };
        if !always_answer_the_same(plan, &named.functions).await? {
            continue;
        }
        let role = told.statement.role.as_deref();
        let Ok(filling) = explain(plan, gate, &view.definition, path, role).await? else {
            continue;
        };
        let tables: BTreeMap<u32, &Table> = known
            .values()
            .filter_map(|(oid, _)| ready.tables.all().find(|table| table.oid == *oid))
            .map(|table| (table.oid, table))
            .collect();
        let oids: BTreeSet<u32> = known.values().map(|(oid, _)| *oid).collect();
        // whatever else it reads would be written unseen
        if tables.len() < oids.len() || view.tables.iter().any(|(schema, _)| schema.contains('*')) {
            continue;
        }
        let Some((schema, name)) = view.tables.first() else {
            continue;
        };
        views.push(SummaryView {
            statement_id: told.statement_id.clone(),
            schema: schema.clone(),
            first_table: name.clone(),
            grouped: view.clone(),
            cost_statement: ready.planned[number].tree.total_cost(),
            cost_filling: filling.tree.total_cost(),
            rows_read: tables.values().map(|table| table.rows).sum(),
            rows_held: filling.tree.root.rows,
            row_bytes: filling.tree.root.row_bytes,
            table_oids: tables.values().flat_map(|table| parts(table)).collect(),
        });
    }
    Ok(views)
}

/// What holds the rows of a table.
fn parts(table: &Table) -> Vec<u32> {
    match table.is_partitioned {
        false => vec![table.oid],
        true => {
            let with_rows = table
                .partitions
                .iter()
                .filter(|partition| !partition.is_partitioned);
            with_rows.map(|partition| partition.oid).collect()
        }
    }
}

/// What the names of a statement mean, with the OID: only tables all of whose rows are their own.
async fn known_tables(
    plan: &Plan,
    named: &[(String, String)],
    path: &SearchPath,
) -> Result<BTreeMap<(String, String), (u32, KnownTable)>, PostgresError> {
    let schemas: Vec<&str> = named.iter().map(|(schema, _)| schema.as_str()).collect();
    let names: Vec<&str> = named.iter().map(|(_, name)| name.as_str()).collect();
    let path = path.lookup();
    let asked: [(&(dyn ToSql + Sync), Type); 3] = [
        (&schemas, Type::TEXT_ARRAY),
        (&names, Type::TEXT_ARRAY),
        (&path, Type::TEXT_ARRAY),
    ];
    let rows = plan.session().rows(queries::ADVISE_RELATIONS, &asked).await?;
    let known = rows.iter().map(|row| {
        let columns: Vec<String> = column_or_default(row, "columns");
        let types: Vec<String> = column_or_default(row, "types");
        let named = (
            column_or_default(row, "written_schema"),
            column_or_default(row, "written_name"),
        );
        let table = KnownTable {
            schema: column_or_default(row, "schema"),
            columns: columns.into_iter().zip(types).collect(),
        };
        (named, (column_or_default(row, "oid"), table))
    });
    Ok(known.collect())
}

/// Whether all of these functions always answer the same.
async fn always_answer_the_same(plan: &Plan, functions: &BTreeSet<String>) -> Result<bool, PostgresError> {
    let names: Vec<&str> = functions.iter().map(String::as_str).collect();
    let asked: [(&(dyn ToSql + Sync), Type); 1] = [(&names, Type::TEXT_ARRAY)];
    let rows = plan.session().rows(queries::ADVISE_FUNCTIONS, &asked).await?;
    Ok(rows.len() == names.len())
}
