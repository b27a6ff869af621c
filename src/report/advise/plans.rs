//! The plans of the statements that gain most, as they are and as they would be.

use super::{by_gain, cost, costs, grouped, label};
use crate::model::advice::AdviceReport;
use crate::model::plan::PlanLine;
use crate::report::{Style, visible};

/// Statements whose plans are shown.
const STATEMENTS: usize = 5;
/// Nodes of each of these plans.
const LINES: usize = 12;
/// Characters of a line.
const COLUMNS: usize = 100;
/// Nodes further down are not indented more.
const DEPTH: usize = 16;

/// Nothing where no plan becomes another one.
pub(super) fn text(report: &AdviceReport, style: Style) -> String {
    let others = report.statements.iter().filter(|one| !one.plan_after.is_empty());
    let others = by_gain(others);
    if others.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{}\n", style.paint("1", "Plans"));
    for one in others.iter().take(STATEMENTS) {
        out.push_str(&format!("  {}{}\n", label(one), costs(one)));
        for (when, plan) in [("now", &one.plan_before), ("then", &one.plan_after)] {
            out.push_str(&format!("    {when}\n"));
            out.push_str(&plan_text(plan));
        }
    }
    if others.len() > STATEMENTS {
        let more = others.len() - STATEMENTS;
        out.push_str(&format!(
            "  … {more} more, which gain less: --format json has all plans\n"
        ));
    }
    out
}

fn plan_text(plan: &[PlanLine]) -> String {
    let mut out: String = plan.iter().take(LINES).map(line_text).collect();
    if plan.len() > LINES {
        out.push_str(&format!("      … {} more lines\n", plan.len() - LINES));
    }
    out
}

/// One node with its price; of a long name the beginning, so that it stays one line.
fn line_text(line: &PlanLine) -> String {
    let indent = 6 + 2 * line.depth.min(DEPTH);
    let price = format!("cost {}, {} rows", cost(line.cost), grouped(line.rows));
    let room = COLUMNS.saturating_sub(indent + 2 + price.chars().count());
    let node = visible(&line.node);
    let node: String = match node.chars().count() > room {
        true => node.chars().take(room.saturating_sub(1)).chain(['…']).collect(),
        false => node,
    };
    format!("{:indent$}{node}  {price}\n", "")
}
