//! Advice as others read it, and what a reader should know of the login that it was worked out with.

mod login;
mod notes;

use std::collections::BTreeMap;

pub use self::login::{
    about_the_captured, about_the_login, about_what_may_be_planned, about_what_was_counted,
};
use self::notes::{
    about_the_attached, about_the_averaged, about_the_dearer, about_the_descents, about_the_guessed,
    about_the_pages, about_the_partitions, about_the_superseded,
};
use super::advice::{Advice, IndexAdvice, StatementAdvice};
use super::clauses::Key;
use super::hoped::about_the_hoped;
use super::superseded::Superseded;
use super::tables::TableName;
use crate::model::advice::{AdviceReport, AdvisedIndex, AdvisedStatement, StatementStatus, WorkloadTotals};
use crate::model::relation::RelationName;
use crate::model::remedy::Statement;

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

/// How many statements a note names at most.
const NAMED: usize = 5;

/// Why a statement was not planned of which nothing is known.
const NOT_REACHED: &str = "it was stopped before they were planned";

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
                    .filter_map(|index| index.size_bytes.map(f64::round))
                    .sum::<f64>()
                    .abs(),
                budget_bytes: about.budget_bytes,
                window_seconds: about.days.map(|days| days * 86_400.0),
                was_stopped: advice.stopped.is_some(),
                stopped: advice.stopped,
                not_planned: not_planned(advice),
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
        report.notes.extend(about_the_hoped(&report.statements));
        report.notes.extend(about_the_pages(&report.statements));
        report.notes.extend(about_the_guessed(&advice.statements));
        report.notes.extend(about_the_averaged(&advice.statements));
        report.notes.extend(about_the_descents(&advice.statements));
        report.notes.extend(about_the_superseded(&report.indexes));
        report.notes.extend(about_the_partitions(&report.indexes));
        report
            .notes
            .extend(advice.indexes.iter().filter_map(about_the_attached));
        report
    }
}

/// The ids of statements that were not planned, by why: what the server says of a text may quote from it.
fn not_planned(advice: &Advice) -> BTreeMap<String, Vec<String>> {
    let why: BTreeMap<usize, &String> = advice
        .plans
        .iter()
        .filter_map(|(position, plan)| Some((*position, plan.as_ref().err()?)))
        .collect();
    let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (position, one) in advice.statements.iter().enumerate() {
        if one.cost_before.is_none() {
            let why = why.get(&position).map_or(NOT_REACHED, |why| why.as_str());
            let ids = by_reason.entry(why.to_owned()).or_default();
            // several roles may run it
            if !ids.contains(&one.statement_id) {
                ids.push(one.statement_id.clone());
            }
        }
    }
    by_reason
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
        undo_sql: undo_of(index),
        schema: index.definition.table.schema.clone(),
        table: index.definition.table.name.clone(),
        partition_of: index.definition.partition_of.as_ref().map(|whole| RelationName {
            schema: whole.schema.clone(),
            name: whole.name.clone(),
        }),
        method: candidate.method.to_owned(),
        columns: keys.clone().map(text).collect(),
        include: candidate.include.clone(),
        predicate: candidate.predicate.clone(),
        expressions: keys
            .filter(|key| matches!(key, Key::Expression(_)))
            .map(text)
            .collect(),
        // reckoned from averages
        size_bytes: index.size_bytes.map(f64::round),
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
        supersedes_made_again: index
            .supersedes
            .iter()
            .filter_map(Superseded::how_made_again)
            .collect(),
    }
}

/// How it is taken back: what was dropped for it is made again before it goes, where that does not block writes.
fn undo_of(index: &IndexAdvice) -> Vec<String> {
    let dropped = index.supersedes.iter().filter_map(Superseded::undo_sql);
    dropped.chain(index.definition.undo_sql.iter().cloned()).collect()
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
        may_have_later_page: one.may_have_later_page,
        plan_before: if is_another {
            one.plan_before.clone()
        } else {
            Vec::new()
        },
        plan_after: one.plan_after.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::workload::WorkloadStatement;
    use crate::model::advice::{TriedValue, ValueKind};

    /// A statement that costs so much before and after.
    fn statement(name: &str, before: f64, after: f64) -> StatementAdvice {
        let mut told = StatementAdvice::of(WorkloadStatement {
            name: Some(name.to_owned()),
            weight: 2.0,
            text: format!("SELECT 1 AS {name}"),
            ..WorkloadStatement::default()
        });
        (told.cost_before, told.cost_after) = (Some(before), Some(after));
        told
    }

    fn report(statements: Vec<StatementAdvice>) -> AdviceReport {
        let advice = Advice {
            statements,
            ..Advice::default()
        };
        advice.summary(About {
            database: "shop".into(),
            budget_bytes: None,
            elapsed_seconds: 1.0,
            days: None,
            notes: Vec::new(),
        })
    }

    #[test]
    fn guessed_types_are_told() {
        let guessed = |name: &str| StatementAdvice {
            has_guessed_types: true,
            ..statement(name, 100.0, 10.0)
        };
        assert!(report(vec![statement("known", 100.0, 10.0)]).notes.is_empty());
        let names: Vec<String> = (0..7).map(|number| format!("s{number}")).collect();
        let told = report(names.iter().map(|name| guessed(name)).collect());
        let [note] = &told.notes[..] else {
            panic!("{:?}", told.notes)
        };
        assert!(note.ends_with(": s0, s1, s2, s3, s4, …"), "{note}");
    }

    #[test]
    fn pages_of_which_less_is_saved_than_of_the_first_are_told() {
        let notes = |cost_after: f64| {
            let page = TriedValue {
                kind: ValueKind::LaterPage,
                cost_before: 1000.0,
                cost_after,
            };
            let paged = StatementAdvice {
                values: vec![page],
                ..statement("paged", 1000.0, 1.0)
            };
            report(vec![paged]).notes
        };
        assert_eq!(notes(20.0), [""; 0]);
        let told = notes(170.0).concat();
        assert!(told.ends_with(": paged 1000 → 1, there 1000 → 170"), "{told}");
    }

    #[test]
    fn no_statement_is_made_worse_unseen() {
        let told = report(vec![
            statement("better", 1000.0, 10.0),
            statement("the_same", 100.0, 100.5),
            statement("dearer", 100.0, 150.0),
        ]);
        let dearer: Vec<&str> = told
            .statements
            .iter()
            .filter(|one| one.is_dearer())
            .filter_map(|one| one.name.as_deref())
            .collect();
        assert_eq!(dearer, ["dearer"]);
        let [note] = &told.notes[..] else {
            panic!("{:?}", told.notes)
        };
        assert!(note.starts_with("one statement becomes dearer"), "{note}");
        assert!(note.ends_with(": dearer"), "{note}");
        // and it is part of what the workload costs
        assert_eq!(
            (told.workload.cost_before, told.workload.cost_after),
            (2400.0, 521.0)
        );
        assert!(told.statements[2].status == StatementStatus::NoCandidate);
    }

    #[test]
    fn what_was_not_planned_is_told_without_its_text() {
        let unplanned = |name: &str| StatementAdvice {
            cost_before: None,
            cost_after: None,
            reason: Some("invalid input syntax: \"secret\"".to_owned()),
            ..statement(name, 1.0, 1.0)
        };
        let statements = vec![
            unplanned("a"),
            statement("b", 100.0, 10.0),
            unplanned("c"),
            unplanned("d"),
        ];
        let ids: Vec<String> = statements.iter().map(|one| one.statement_id.clone()).collect();
        let refused = || Err("the server refused to plan it".to_owned());
        let advice = Advice {
            statements,
            plans: vec![(0, refused()), (2, refused())],
            ..Advice::default()
        };
        let told = not_planned(&advice);
        let expected = [
            (
                "the server refused to plan it".to_owned(),
                // of the same text, which two roles ran
                vec![ids[0].clone()],
            ),
            (NOT_REACHED.to_owned(), vec![ids[3].clone()]),
        ];
        assert_eq!(told, BTreeMap::from(expected));
    }

    #[test]
    fn of_many_dearer_ones_some_are_named() {
        assert_eq!(report(vec![statement("better", 1000.0, 10.0)]).notes, [""; 0]);
        let many = (0..7).map(|one| statement(&format!("s{one}"), 100.0, 200.0));
        let told = report(many.collect());
        let note = &told.notes[0];
        assert!(note.starts_with("7 statements become dearer"), "{note}");
        assert!(note.ends_with(": s0, s1, s2, s3, s4, …"), "{note}");
    }
}
