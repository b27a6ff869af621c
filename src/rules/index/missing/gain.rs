//! What the statements of a finding of index.missing gain, each by itself.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::model::advice::{Advised, AdvisedIndex, AdvisedStatement, PlanPair, TriedValue, ValueKind};
use crate::model::plan::PlanLine;
use crate::rules::number;

/// Bytes of each of their texts.
const STATEMENT_BYTES: usize = 2_000;
/// Nodes of each of these plans.
const PLAN_LINES: usize = 60;

/// What one statement gains by the indexes of one finding.
pub(super) struct Gain<'a> {
    pub(super) statement: &'a AdvisedStatement,
    pub(super) calls: i64,
    pub(super) queryid: i64,
    pub(super) seconds: f64,
    pub(super) saved_seconds: f64,
    /// The part of its cost that it saves by all indexes together; of pages by OFFSET on the average of the first and one far behind it.
    pub(super) saved_ratio: f64,
}

impl<'a> Gain<'a> {
    /// Those of all statements that use one of the indexes, the greatest first.
    pub(super) fn all(advised: &'a Advised, indexes: &[&AdvisedIndex]) -> Vec<Self> {
        let ours: BTreeSet<&str> = indexes.iter().map(|index| index.definition.as_str()).collect();
        let of = |statement: &'a AdvisedStatement| {
            let used = statement
                .uses
                .iter()
                .filter(|used| ours.contains(used.as_str()))
                .count();
            let (before, after) = (statement.cost_before?, statement.cost_after?);
            let did = advised.activity.get(&statement.statement_id)?;
            let page = later_page(statement);
            let before = before + page.map_or(0.0, |page| page.cost_before);
            let after = after + page.map_or(0.0, |page| page.cost_after);
            let saved_ratio = ((before - after) / before).clamp(0.0, 1.0);
            // where it needs several, each has an equal share
            let share = used as f64 / statement.uses.len().max(1) as f64;
            (used > 0).then_some(Self {
                statement,
                calls: did.calls,
                queryid: did.queryid,
                seconds: did.seconds,
                saved_seconds: did.seconds * saved_ratio * share,
                saved_ratio,
            })
        };
        let mut gains: Vec<Self> = advised.report.statements.iter().filter_map(of).collect();
        gains.sort_by(|a, b| b.saved_seconds.total_cmp(&a.saved_seconds));
        gains
    }

    pub(super) fn evidence(&self) -> Value {
        let mut told = json!({
            "statement": crate::sql::cut(&self.statement.text, STATEMENT_BYTES),
            "calls": self.calls,
            "total_seconds": number(self.seconds),
            "cost_before": self.statement.cost_before,
            "cost_after": self.statement.cost_after,
            "statement_id": self.statement.statement_id,
        });
        // what is saved follows from these, too
        if let Some(page) = later_page(self.statement) {
            told["later_page_cost_before"] = json!(page.cost_before);
            told["later_page_cost_after"] = json!(page.cost_after);
        }
        told
    }

    pub(super) fn has_parameters(&self) -> bool {
        crate::sql::parameter_count(&self.statement.text) > 0
    }

    /// Whether a page far behind the first was planned, too.
    pub(super) fn has_later_page(&self) -> bool {
        later_page(self.statement).is_some()
    }

    /// Whether there may be a page far behind the first, and the first alone was planned.
    pub(super) fn has_first_page_alone(&self) -> bool {
        !self.has_later_page() && self.statement.may_have_later_page
    }

    pub(super) fn has_plans(&self) -> bool {
        !self.statement.plan_after.is_empty()
    }

    pub(super) fn plans(&self) -> Value {
        let beginning = |lines: &[PlanLine]| lines.iter().take(PLAN_LINES).cloned().collect();
        json!(PlanPair {
            statement_id: self.statement.statement_id.clone(),
            statement: crate::sql::outline(&self.statement.text),
            before: beginning(&self.statement.plan_before),
            after: beginning(&self.statement.plan_after),
        })
    }
}

/// A page far behind the first, where it was planned.
fn later_page(statement: &AdvisedStatement) -> Option<&TriedValue> {
    let mut tried = statement.values.iter();
    tried.find(|one| one.kind == ValueKind::LaterPage)
}
