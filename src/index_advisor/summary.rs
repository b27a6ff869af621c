//! Advice as others read it, and what a reader should know of the login that it was worked out with.

use super::advice::{Advice, IndexAdvice, StatementAdvice};
use super::clauses::Key;
use super::gate::Gate;
use super::tables::TableName;
use super::workload::Captured;
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
        let mut report = AdviceReport {
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
                window_seconds: about.days.map(|days| days * 86_400.0),
                was_stopped: advice.stopped.is_some(),
                stopped: advice.stopped,
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
        };
        report.notes.extend(about_the_dearer(&report.statements));
        report.notes.extend(about_the_superseded(&report.indexes));
        report
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
        assumed_build_seconds: index.assumed_build_seconds,
        // a guess has no price: nobody reckoned what writes pay for it
        write_cost_per_day: days.filter(|_| proven).map(|days| index.write_cost / days),
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
            .map(|one| drop_of(&one.name, index).sql())
            .collect(),
        supersedes_unproven: index.supersedes.iter().find_map(|one| one.unproven.clone()),
    }
}

/// How an index of the same table is dropped: that of a partitioned one as a whole, as it is made.
fn drop_of(name: &TableName, index: &IndexAdvice) -> Statement {
    let (schema, name) = (name.schema.clone(), name.name.clone());
    match index
        .definition
        .statement
        .starts_with("CREATE INDEX CONCURRENTLY ")
    {
        true => Statement::DropIndexConcurrently { schema, name },
        false => Statement::DropIndex { schema, name },
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

/// What of the drops that follow was not seen by the planner.
fn about_the_superseded(indexes: &[AdvisedIndex]) -> Option<String> {
    let why = indexes
        .iter()
        .find_map(|index| index.supersedes_unproven.as_ref())?;
    Some(format!(
        "that indexes are superfluous once those that are advised are there is proven by definition only, not rehearsed: {why}"
    ))
}

/// Which statements the whole set makes worse.
fn about_the_dearer(statements: &[AdvisedStatement]) -> Option<String> {
    const NAMED: usize = 5;
    let dearer: Vec<&AdvisedStatement> = statements.iter().filter(|one| one.is_dearer()).collect();
    let count = match dearer.len() {
        0 => return None,
        1 => "one statement becomes".to_owned(),
        count => format!("{count} statements become"),
    };
    let named = dearer.iter().take(NAMED);
    let mut names: Vec<&str> = named
        .map(|one| one.name.as_deref().unwrap_or(&one.statement_id))
        .collect();
    if dearer.len() > NAMED {
        names.push("…");
    }
    Some(format!(
        "{count} dearer with these indexes, which is part of the workload's cost: {}",
        names.join(", ")
    ))
}

/// What of a captured workload is not advised, and why.
pub fn about_the_captured(captured: &Captured, login: &str) -> Vec<String> {
    let mut notes = Vec::new();
    let share = 100.0 * captured.left_out_ratio;
    let readable = captured.all - captured.hidden.min(captured.all);
    if readable > captured.statements.len() {
        notes.push(format!(
            "the {} statements that took most time are advised, of {} that pg_stat_statements holds; the others took \
             {share:.1} % of the time. --workload takes a file of more",
            captured.statements.len(),
            captured.all
        ));
    }
    if captured.hidden > 0 {
        notes.push(format!(
            "{} statements of other roles may not be read by {login}, so that they are not advised: {} mends it",
            captured.hidden,
            Statement::GrantRole {
                role: "pg_read_all_stats",
                to: login.to_owned()
            }
            .sql()
        ));
    }
    notes
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
