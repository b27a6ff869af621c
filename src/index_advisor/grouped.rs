//! Statements that group many rows, as materialized views: what such a view would hold is planned like any statement, so that
//! the planner says what filling it costs.

use std::collections::BTreeMap;

use super::gate::Gate;
use super::ready::{Ready, explain};
use super::tables::{Table, Tables};
use super::workload::SearchPaths;
use crate::limits;
use crate::model::advice::SummaryView;
use crate::model::plan::PlanTree;
use crate::postgres::{Plan, PostgresError};
use crate::sql;

/// The statements of a workload that could read such a view, the costliest first.
///
/// # Errors
/// If the session is lost.
pub(super) async fn summary_views(
    plan: &Plan,
    gate: &mut Gate,
    paths: &mut SearchPaths,
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
        let tree = &ready.planned[number].tree;
        let schemas = schemas(tree, &ready.tables);
        let schema_of = |table: &str| schemas.get(table).cloned().flatten();
        let Some(view) = sql::grouped_view(&told.statement.text, &schema_of) else {
            continue;
        };
        let path = paths.of(plan, &told.statement).await?;
        let role = told.statement.role.as_deref();
        let Ok(filling) = explain(plan, gate, &view.definition, &path, role).await? else {
            continue;
        };
        let tables: BTreeMap<u32, &Table> = view
            .tables
            .iter()
            .filter_map(|(schema, name)| ready.tables.get(schema, name))
            .map(|table| (table.oid, table))
            .collect();
        let Some((schema, name)) = view.tables.first() else {
            continue;
        };
        views.push(SummaryView {
            statement_id: told.statement_id.clone(),
            schema: schema.clone(),
            first_table: name.clone(),
            definition: view.definition.clone(),
            reading: view.clone(),
            unique_columns: view.unique_columns.clone(),
            cost_statement: tree.total_cost(),
            cost_filling: filling.tree.total_cost(),
            rows_read: tables.values().map(|table| table.rows).sum(),
            rows_held: filling.tree.root.rows,
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

/// The schema of each table of a plan by its name alone; none where two have the same name.
fn schemas(tree: &PlanTree, tables: &Tables) -> BTreeMap<String, Option<String>> {
    let mut schemas: BTreeMap<String, Option<String>> = BTreeMap::new();
    for node in tree.nodes() {
        let (Some(schema), Some(relation)) = (&node.schema, &node.relation) else {
            continue;
        };
        let Some(table) = tables.get(schema, relation) else {
            continue;
        };
        let known = schemas
            .entry(table.name.name.clone())
            .or_insert_with(|| Some(table.name.schema.clone()));
        if known.as_ref() != Some(&table.name.schema) {
            *known = None;
        }
    }
    schemas
}
