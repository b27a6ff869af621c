//! Advice as others read it, and what a reader should know of the login that it was worked out with.

use super::advice::{Advice, IndexAdvice, StatementAdvice};
use super::clauses::Key;
use super::gate::Gate;
use crate::model::advice::{AdviceReport, AdvisedIndex, AdvisedStatement, StatementStatus, WorkloadTotals};
use crate::model::remedy::Statement;
use crate::postgres::Plan;

/// What advice was worked out for, and how long that took.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct About {
    pub database: String,
    pub budget_bytes: Option<f64>,
    pub elapsed_seconds: f64,
    /// Days that the weights are about, where they are calls that were counted.
    pub days: Option<f64>,
    pub notes: Vec<String>,
}

/// Costs smaller than this do not differ: the planner prints two decimals.
const SAME: f64 = 0.01;

impl Advice {
    /// All of it, in the words of the contract.
    pub fn summary(&self, about: About) -> AdviceReport {
        let advice = self;
        let sum = |cost: fn(&StatementAdvice) -> Option<f64>| -> f64 {
            let weighted = advice
                .statements
                .iter()
                .map(|one| cost(one).unwrap_or(0.0) * one.statement.weight);
            weighted.sum()
        };
        // what an hour's calls cost says nothing of a day
        let days = about.days.filter(|days| *days >= 1.0 / 24.0);
        AdviceReport {
            schema_version: 1,
            database: about.database,
            workload: WorkloadTotals {
                statements: advice.statements.len(),
                cost_before: sum(|one| one.cost_before),
                cost_after: sum(|one| one.cost_after.or(one.cost_before)),
                what_if_calls: advice.what_if_calls,
                elapsed_seconds: about.elapsed_seconds,
                // the sum of nothing is -0.0
                size_bytes: advice
                    .indexes
                    .iter()
                    .filter_map(|index| index.size_bytes)
                    .sum::<f64>()
                    .abs(),
                budget_bytes: about.budget_bytes,
                was_stopped: advice.was_stopped,
            },
            indexes: advice
                .indexes
                .iter()
                .map(|index| index_of(advice, index, days))
                .collect(),
            statements: advice
                .statements
                .iter()
                .map(|one| statement_of(advice, one))
                .collect(),
            notes: about.notes,
        }
    }
}

fn index_of(advice: &Advice, index: &IndexAdvice, days: Option<f64>) -> AdvisedIndex {
    let candidate = &index.candidate;
    let keys = candidate.keys.iter().map(|key| &key.key);
    let text = |key: &Key| match key {
        Key::Column(name) => name.clone(),
        Key::Expression(text) => text.clone(),
    };
    let proven = advice.is_proven;
    AdvisedIndex {
        definition: index.definition.statement.clone(),
        name: index.definition.name.clone(),
        apply_sql: index.definition.apply_sql.clone(),
        undo_sql: index.definition.undo_sql.clone(),
        schema: candidate.schema.clone(),
        table: candidate.table.clone(),
        method: candidate.method.to_owned(),
        columns: keys.clone().map(text).collect(),
        include: candidate.include.clone(),
        predicate: candidate.predicate.clone(),
        expressions: keys
            .filter(|key| matches!(key, Key::Expression(_)))
            .map(text)
            .collect(),
        size_bytes: index.size_bytes,
        build_seconds: index.build_seconds,
        write_cost_per_day: days.map(|days| index.write_cost / days),
        cost_before: proven.then_some(index.cost_before),
        cost_after: proven.then_some(index.cost_after),
        statements: index
            .statements
            .iter()
            .map(|one| advice.statements[*one].statement_id.clone())
            .collect(),
        confidence: index.confidence.clone(),
        supersedes: index
            .supersedes
            .iter()
            .map(|name| {
                let drop = Statement::DropIndexConcurrently {
                    schema: name.schema.clone(),
                    name: name.name.clone(),
                };
                drop.sql()
            })
            .collect(),
    }
}

fn statement_of(advice: &Advice, one: &StatementAdvice) -> AdvisedStatement {
    let status = match (one.cost_before, one.cost_after) {
        (None, _) => StatementStatus::NotPlanned,
        (Some(before), Some(after)) if after < before - SAME => StatementStatus::Improved,
        _ if one.has_candidates => StatementStatus::Unchanged,
        _ => StatementStatus::NoCandidate,
    };
    let is_another = !one.plan_after.is_empty();
    AdvisedStatement {
        statement_id: one.statement_id.clone(),
        name: one.statement.name.clone(),
        text: one.statement.text.clone(),
        weight: one.statement.weight,
        cost_before: one.cost_before,
        cost_after: one.cost_after,
        uses: one
            .uses
            .iter()
            .map(|position| advice.indexes[*position].definition.statement.clone())
            .collect(),
        status,
        reason: one.reason.clone().filter(|reason| !reason.is_empty()),
        values: one.values.clone(),
        plan_before: if is_another {
            one.plan_before.clone()
        } else {
            Vec::new()
        },
        plan_after: one.plan_after.clone(),
    }
}

/// What the login is, and what a separate planner would add.
pub fn about_the_login(plan: &Plan, gate: &Gate, login: &str) -> Vec<String> {
    let mut notes = Vec::new();
    if gate.planner_is_powerful() {
        notes.push(format!(
            "{login} is a superuser or as good as one, so only code of superusers is planned through, whomever else you trust; \
             `pgadvisor setup` prints a login that may only read"
        ));
    }
    let unknown = gate.unknown_owners();
    if !unknown.is_empty() {
        notes.push(format!(
            "no role is known here by the name {}, which trusted_owners or --trust-owner gives: nobody is trusted for it",
            unknown.join(", nor ")
        ));
    }
    if !plan.leaves_counters {
        notes.push(format!(
            "{login} may not switch off track_counts: planning counts as a scan of some indexes. \
             ALTER ROLE … SET track_counts = off mends it"
        ));
    }
    if !plan.leaves_statements {
        notes.push(format!(
            "{login} may not switch off pg_stat_statements.track: what is planned becomes an entry there. \
             ALTER ROLE … SET pg_stat_statements.track = none mends it"
        ));
    }
    if plan.hypothetical().is_none() {
        let create = Statement::CreateExtension { name: "hypopg" }.sql();
        notes.push(format!(
            "HypoPG is not installed here, so nothing could be proven: install its package and run {create}"
        ));
    }
    notes
}
