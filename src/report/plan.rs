//! A judged plan: for people, for programs.

use serde::Serialize;

use super::{Style, visible};
use crate::explained::judge::{Problem, judge};
use crate::explained::{Explained, Line};
use crate::model::unit::seconds_for_people;

/// What `pgadvisor plan --format json` answers.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct PlanReport {
    pub schema_version: u32,
    /// Whether the statement was run: without ANALYZE only costs are known.
    pub is_measured: bool,
    pub total_cost: f64,
    pub execution_ms: Option<f64>,
    pub planning_ms: Option<f64>,
    /// What concerns most time first.
    pub problems: Vec<Problem>,
    pub plan: Vec<Line>,
}

impl PlanReport {
    /// Judges a plan.
    pub fn new(explained: &Explained) -> Self {
        Self {
            schema_version: 1,
            is_measured: explained.is_measured(),
            total_cost: explained.root.total_cost,
            execution_ms: explained.execution_ms,
            planning_ms: explained.planning_ms,
            problems: judge(explained),
            plan: explained.lines(),
        }
    }
}

/// The report for a terminal.
pub fn text(report: &PlanReport, style: Style) -> String {
    let time = |ms: f64| seconds_for_people(ms / 1000.0);
    let headline = match (report.is_measured, report.execution_ms, report.problems.len()) {
        (false, ..) => format!(
            "cost {:.0}; nothing was measured, so that only costs can be told: run EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON), in a \
             transaction that is rolled back if it writes",
            report.total_cost
        ),
        (true, ms, 0) => format!(
            "{}: nothing in this plan went wrong",
            ms.map_or("measured".to_owned(), time)
        ),
        (true, ms, 1) => format!("{}: one problem", ms.map_or("measured".to_owned(), time)),
        (true, ms, count) => format!("{}: {count} problems", ms.map_or("measured".to_owned(), time)),
    };
    let mut out = format!("{}\n", style.paint("1", &headline));
    for (position, one) in report.problems.iter().enumerate() {
        let place = one
            .node
            .as_ref()
            .map_or(String::new(), |node| format!(": {}", visible(node)));
        let concerns = one
            .concerns_ms
            .map_or(String::new(), |ms| format!(", up to {}", time(ms)));
        let title = format!(
            "{}. {}{place}{concerns}",
            position + 1,
            one.problem.replace('_', " ")
        );
        out.push_str(&format!(
            "\n{}\n  {}\n",
            style.paint("1", &title),
            visible(&one.explanation)
        ));
        for step in &one.remedy {
            out.push_str(&format!("  → {}\n", visible(step)));
        }
    }
    out.push_str(&format!("\n{}\n", style.paint("1", "Plan")));
    for line in &report.plan {
        let measured = match (line.own_ms, line.rows, line.loops) {
            (Some(ms), Some(rows), Some(loops)) => {
                let loops = if loops > 1.0 {
                    format!(" × {loops:.0}")
                } else {
                    String::new()
                };
                format!(
                    "{} here, {rows:.0} rows{loops}, {:.0} expected",
                    time(ms),
                    line.expected_rows
                )
            }
            _ if report.is_measured => "never run".to_owned(),
            _ => format!("cost {:.0}, {:.0} rows expected", line.cost, line.expected_rows),
        };
        let indent = "  ".repeat(line.depth + 1);
        out.push_str(&format!(
            "{indent}{}  {}\n",
            visible(&line.node),
            style.paint("2", &measured)
        ));
    }
    out
}
