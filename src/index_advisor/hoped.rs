//! Of which statements the plan that is shown looks cheaper than what is promised.

use crate::model::advice::AdvisedStatement;

/// How many statements a note names at most.
const NAMED: usize = 5;
/// What the planner hopes for is told where it is less than this part of what is reckoned.
const HOPED: f64 = 0.99;

/// Which statements cost less in the plans that are shown, since there the rows that a LIMIT asks for are found early.
pub(super) fn about_the_hoped(statements: &[AdvisedStatement]) -> Option<String> {
    let hoped = |one: &AdvisedStatement| {
        let cost = one.plan_after.first()?.cost;
        let name = one.name.as_deref().unwrap_or(&one.statement_id);
        (cost < HOPED * one.cost_after?).then(|| format!("{name} (the planner hopes for {cost:.2})"))
    };
    let mut all = statements.iter().filter_map(hoped);
    let mut names: Vec<String> = all.by_ref().take(NAMED).collect();
    if all.next().is_some() {
        names.push("…".to_owned());
    }
    (!names.is_empty()).then(|| {
        format!(
            "what these statements cost with the indexes is the average for a common, a median and a rare value, or, where none are known, \
             as if no row were found early, other than in their plans: {}",
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::advice::{Advice, StatementAdvice};
    use super::super::summary::About;
    use super::super::workload::WorkloadStatement;
    use crate::model::plan::PlanLine;

    #[test]
    fn what_is_hoped_is_told_where_it_is_less() {
        let statement = |name: &str, shown: f64| {
            let mut told = StatementAdvice::of(WorkloadStatement {
                name: Some(name.to_owned()),
                weight: 1.0,
                text: format!("SELECT 1 AS {name}"),
                ..WorkloadStatement::default()
            });
            (told.cost_before, told.cost_after) = (Some(900.0), Some(400.0));
            told.plan_after = vec![PlanLine {
                depth: 0,
                node: "Limit".into(),
                cost: shown,
                own_cost: 0.0,
                rows: 20.0,
            }];
            told
        };
        let advice = Advice {
            statements: vec![statement("same", 400.0), statement("page", 5.0)],
            ..Advice::default()
        };
        let told = advice.summary(About {
            database: "shop".into(),
            budget_bytes: None,
            elapsed_seconds: 1.0,
            days: None,
            notes: Vec::new(),
        });
        let [note] = &told.notes[..] else {
            panic!("{:?}", told.notes)
        };
        assert!(note.ends_with(": page (the planner hopes for 5.00)"), "{note}");
    }
}
