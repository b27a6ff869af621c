//! Index advice for standard output: JSON by `advise.schema.json`, text for people, SQL to run.

use serde::Serialize;

use super::{Style, runnable, visible, visible_lines};
use crate::index_advisor::advice::{Advice, IndexAdvice, StatementAdvice};
use crate::index_advisor::clauses::Key;
use crate::model::finding::Confidence;
use crate::model::remedy::{Statement, qualified};
use crate::model::unit::{bytes_for_people, seconds_for_people};

/// What `pgadvisor advise` answers: `advise.schema.json`, and what a reader should know of how it came about.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct AdviceReport {
    pub schema_version: u32,
    pub database: String,
    pub indexes: Vec<AdvisedIndex>,
    pub workload: WorkloadTotals,
    pub statements: Vec<AdvisedStatement>,
    /// What was not as it should be: HypoPG missing, a login that leaves traces, time that was over.
    pub notes: Vec<String>,
}

/// One index to make.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct AdvisedIndex {
    pub definition: String,
    pub name: String,
    pub apply_sql: Vec<String>,
    pub undo_sql: Vec<String>,
    pub schema: String,
    pub table: String,
    pub method: String,
    pub columns: Vec<String>,
    pub include: Vec<String>,
    pub predicate: Option<String>,
    pub expressions: Vec<String>,
    pub size_bytes: Option<f64>,
    pub write_cost_per_day: Option<f64>,
    pub cost_before: Option<f64>,
    pub cost_after: Option<f64>,
    pub statements: Vec<String>,
    pub confidence: Confidence,
    /// Indexes that are there and serve nothing any more once this one is, each with how to drop it.
    pub supersedes: Vec<String>,
}

/// The workload as a whole, each statement's cost multiplied by its weight.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct WorkloadTotals {
    pub statements: usize,
    pub cost_before: f64,
    pub cost_after: f64,
    pub what_if_calls: usize,
    pub elapsed_seconds: f64,
    pub size_bytes: f64,
    pub budget_bytes: Option<f64>,
    /// Whether it was stopped before everything was tried.
    pub was_stopped: bool,
}

/// One statement, in the order in which they were given.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct AdvisedStatement {
    pub statement_id: String,
    pub name: Option<String>,
    pub text: String,
    pub weight: f64,
    pub cost_before: Option<f64>,
    pub cost_after: Option<f64>,
    pub uses: Vec<String>,
    pub status: StatementStatus,
    pub reason: Option<String>,
    /// A line for each node, where the plan becomes another one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plan_before: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plan_after: Vec<String>,
}

/// What became of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum StatementStatus {
    Improved,
    Unchanged,
    NoCandidate,
    NotPlanned,
}

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

impl AdviceReport {
    /// The report of one advice.
    pub fn new(advice: &Advice, about: About) -> Self {
        let sum = |cost: fn(&StatementAdvice) -> Option<f64>| -> f64 {
            let weighted = advice
                .statements
                .iter()
                .map(|one| cost(one).unwrap_or(0.0) * one.statement.weight);
            weighted.sum()
        };
        // what an hour's calls cost says nothing of a day
        let days = about.days.filter(|days| *days >= 1.0 / 24.0);
        Self {
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
        plan_before: if is_another {
            one.plan_before.clone()
        } else {
            Vec::new()
        },
        plan_after: one.plan_after.clone(),
    }
}

/// Digits in groups of three.
fn cost(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position) % 3 == 0 {
            grouped.push('\u{a0}');
        }
        grouped.push(digit);
    }
    grouped
}

/// The first line of all formats for people.
fn headline(report: &AdviceReport) -> String {
    let totals = &report.workload;
    let database = visible(&report.database);
    let planned = report
        .statements
        .iter()
        .filter(|one| one.status != StatementStatus::NotPlanned)
        .count();
    let calls = format!(
        "{planned} of {} statements planned, {} what-if calls, {}",
        totals.statements,
        totals.what_if_calls,
        seconds_for_people(totals.elapsed_seconds)
    );
    let count = match report.indexes.len() {
        0 if totals.was_stopped => {
            return format!("{database}: no index was found until it was stopped ({calls})");
        }
        0 => return format!("{database}: no index is worth its price ({calls})"),
        1 => "one index".to_owned(),
        count => format!("{count} indexes"),
    };
    let size = bytes_for_people(totals.size_bytes);
    if totals.what_if_calls == 0 {
        return format!("{database}: {count}, unproven ({calls})");
    }
    let share = 100.0 * totals.cost_after / totals.cost_before.max(f64::MIN_POSITIVE);
    format!("{database}: {count}, {size}: the workload costs {share:.1} % of what it does now ({calls})")
}

/// The report for a terminal.
pub fn text(report: &AdviceReport, style: Style) -> String {
    let mut out = format!("{}\n", style.paint("1", &headline(report)));
    for note in &report.notes {
        out.push_str(&format!("  {}\n", visible(note)));
    }
    for (number, index) in report.indexes.iter().enumerate() {
        out.push_str(&index_text(number + 1, index, report, style));
    }
    let without: Vec<&AdvisedStatement> = report
        .statements
        .iter()
        .filter(|one| one.reason.is_some())
        .collect();
    if !without.is_empty() {
        out.push_str(&format!("\n{}\n", style.paint("1", "No index for")));
        for one in without {
            let reason = one.reason.as_deref().unwrap_or_default();
            out.push_str(&format!("  {}: {}\n", label(one), visible(reason)));
        }
    }
    out
}

fn label(one: &AdvisedStatement) -> String {
    match &one.name {
        Some(name) => visible(name),
        None => format!(
            "{} ({})",
            one.statement_id,
            visible(&crate::sql::outline(&one.text))
        ),
    }
}

fn index_text(number: usize, index: &AdvisedIndex, report: &AdviceReport, style: Style) -> String {
    let on = visible(&qualified(&index.schema, &index.table));
    let size = index
        .size_bytes
        .map_or("size unknown".to_owned(), bytes_for_people);
    let saved = match (index.cost_before, index.cost_after) {
        (Some(before), Some(after)) => format!(", saves {}", cost(before - after)),
        _ => String::new(),
    };
    let mut out = format!(
        "\n{}\n  {}\n",
        style.paint(
            "1",
            &format!("{number}. {} on {on}, {size}{saved}", visible(&index.name))
        ),
        style.paint(
            "2",
            &format!(
                "{}: {}",
                index.confidence.level.word(),
                visible(&index.confidence.reason)
            )
        ),
    );
    out.push_str("  run\n");
    for sql in &index.apply_sql {
        out.push_str(&indented(&format!("{};", runnable(sql))));
    }
    out.push_str("  undo\n");
    for sql in &index.undo_sql {
        out.push_str(&indented(&format!("{};", runnable(sql))));
    }
    if !index.supersedes.is_empty() {
        out.push_str("  then superfluous\n");
        for sql in &index.supersedes {
            out.push_str(&indented(&format!("{};", runnable(sql))));
        }
    }
    out.push_str("  for\n");
    for one in report
        .statements
        .iter()
        .filter(|one| one.uses.contains(&index.definition))
    {
        let costs = match (one.cost_before, one.cost_after) {
            (Some(before), Some(after)) => format!(": {} → {}", cost(before), cost(after)),
            _ => String::new(),
        };
        let weight = if one.weight == 1.0 {
            String::new()
        } else {
            format!(", × {}", one.weight)
        };
        out.push_str(&format!("    {}{costs}{weight}\n", label(one)));
    }
    out
}

fn indented(text: &str) -> String {
    text.split('\n').map(|line| format!("    {line}\n")).collect()
}

/// The statements to run, each with what it is for.
pub fn sql(report: &AdviceReport) -> String {
    let comment = |text: &str| -> String { text.lines().map(|line| format!("-- {line}\n")).collect() };
    let mut out = comment(&headline(report));
    for note in &report.notes {
        out.push_str(&comment(&visible_lines(note)));
    }
    for index in &report.indexes {
        let size = index
            .size_bytes
            .map_or("size unknown".to_owned(), bytes_for_people);
        out.push('\n');
        out.push_str(&comment(&format!(
            "{}, {}: {}",
            size,
            index.confidence.level.word(),
            visible(&index.confidence.reason)
        )));
        for sql in &index.undo_sql {
            out.push_str(&comment(&format!("undo: {};", visible_lines(sql))));
        }
        for sql in &index.apply_sql {
            out.push_str(&format!("{};\n", runnable(sql)));
        }
    }
    out
}
