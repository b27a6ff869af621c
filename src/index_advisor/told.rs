//! What came of a workload, as advice: the set in the order of its value.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;

use super::advice::{Advice, IndexAdvice};
use super::build;
use super::candidate::Candidate;
use super::confirmed::{Confirmed, Outcome};
use super::definition::{Taken, define, wanted_names};
use super::kept;
use super::partition::share_of_rows;
use super::ready::Ready;
use super::remarks::of_begun;
use super::selection::{Answer, Estimate, Problem};
use super::superseded;
use super::tables::{Table, TableName, Tables};
use super::undescribed::Described;
use super::upkeep::Writes;
use super::values::rows_before_later_page;
use crate::model::finding::{Confidence, ConfidenceLevel};
use crate::model::plan::PlanTree;
use crate::model::remedy::qualified;
use crate::postgres::{Plan, PostgresError, queries};

impl Ready {
    /// What the planner chose, as advice.
    pub(super) async fn told(
        mut self,
        plan: &Plan,
        problem: &Problem,
        set: &FixedBitSet,
        confirmed: Confirmed,
        counted: &BTreeMap<u32, Writes>,
    ) -> Result<Advice, PostgresError> {
        let Confirmed { outcomes, names } = confirmed;
        let mut used: Vec<FixedBitSet> = Vec::new();
        let mut costs: Vec<f64> = Vec::new();
        for (number, Outcome { answer, .. }) in outcomes.iter().enumerate() {
            let estimated = self.best_estimated(problem, number, set, answer);
            let best = estimated.unwrap_or_else(|| answer.clone());
            costs.push(best.cost);
            used.push(best.used);
        }
        let weight = |position: &usize| self.statements[*position].statement.weight;
        let weights: Vec<f64> = self.positions.iter().map(weight).collect();
        let after: f64 = costs
            .iter()
            .zip(&weights)
            .map(|(cost, weight)| cost * weight)
            .sum();
        // of what its statements gain each index has an equal share
        let gain = |one: usize| -> f64 {
            let of = |number: &usize| {
                let saved = problem.costs[*number] - costs[*number];
                weights[*number] * saved / used[*number].count_ones(..) as f64
            };
            (0..used.len())
                .filter(|number| used[*number].contains(one))
                .map(|number| of(&number))
                .sum()
        };
        let mut members: Vec<usize> = set
            .ones()
            .filter(|one| used.iter().any(|used| used.contains(*one)))
            .filter(|one| self.table_of(*one).is_some())
            .collect();
        members.sort_by(|a, b| gain(*b).total_cmp(&gain(*a)).then(a.cmp(b)));
        let mut described = match Described::read(plan, &self.candidates, &self.tables).await {
            // what was found out is worth telling without them
            Err(error) if !error.is_fatal() => Described::unread(),
            read => read?,
        };
        for number in 0..outcomes.len() {
            let untold = match used[number].is_clear() {
                true => self.untold(problem, &mut described, number),
                false => None,
            };
            let why_without = self.why_without(number, problem, set, untold);
            let shows_parts = |tables: &BTreeMap<String, &'static str>| {
                let mut used = used[number].ones();
                used.any(|one| self.is_seen_part(number, one, tables))
            };
            let tables = self.unseen_tables.get(&number);
            let unseen = tables.filter(|tables| !shows_parts(tables)).map(unseen);
            let unseen = unseen.or_else(|| self.why_misread(number));
            let told = &mut self.statements[self.positions[number]];
            told.cost_after = Some(costs[number]);
            told.may_have_later_page = rows_before_later_page(&self.planned[number]).is_some();
            if told.has_candidates && used[number].is_clear() {
                told.reason = Some(match unseen {
                    Some(unseen) => format!("{why_without}; {unseen}"),
                    None => why_without,
                });
            } else if told.has_candidates {
                // what is advised for it may not be the best
                told.reason = unseen;
            }
            told.uses = (0..members.len())
                .filter(|position| used[number].contains(members[*position]))
                .collect();
        }
        let mut taken = taken(plan, &self.candidates, &members, &self.tables).await?;
        let seconds_per_unit = build::seconds_per_unit(&self.statements);
        let built = self.built_sizes(problem);
        for (number, added) in self.descents(&outcomes, &names, &built) {
            self.statements[self.positions[number]].descents_cost = Some(added);
        }
        let mut indexes = Vec::new();
        let plans: Vec<&PlanTree> = outcomes.iter().filter_map(|one| one.tree.as_ref()).collect();
        for one in &members {
            let candidate = &self.candidates[*one];
            let Some(table) = self.table_of(*one) else {
                continue;
            };
            let users: Vec<usize> = (0..used.len())
                .filter(|number| used[*number].contains(*one))
                .collect();
            let chosen = Chosen::of(&users, &outcomes);
            let mut statements: Vec<usize> = users.iter().map(|number| self.positions[*number]).collect();
            statements.sort_unstable();
            let estimated = self.estimated_sizes.get(one);
            let alone = self.read_alone(table, &statements);
            let on = alone.as_ref().unwrap_or(table);
            let size_bytes = built[*one]
                .zip(share_of_rows(on, table))
                .map(|(bytes, share)| bytes * share);
            let is_in_front = |number: &usize| self.priced_in_front.contains(&(*number, *one));
            let confidence = match users.iter().all(is_in_front) {
                true => priced_in_front(),
                false if self.remarks.are_begun(&users, *one) => of_begun(),
                false => self.confidence(candidate, estimated.is_some(), chosen, &described),
            };
            let confidence = self.with_caveat(confidence, &users, *one);
            let sorted_bytes = size_bytes.filter(|_| candidate.method == "btree");
            let seconds = |per_unit: f64| sorted_bytes.map(|bytes| build::seconds(per_unit, on, bytes));
            indexes.push(IndexAdvice {
                definition: define(candidate, on, &mut taken, self.extension_of(candidate)),
                size_bytes,
                build_seconds: seconds_per_unit.and_then(seconds),
                assumed_build_seconds: match seconds_per_unit {
                    Some(_) => None,
                    None => seconds(build::ASSUMED_SECONDS_PER_UNIT),
                },
                write_cost: problem.upkeep[*one],
                writes_are_counted: counted.contains_key(&table.oid),
                cost_before: after + gain(*one),
                cost_after: after,
                statements,
                confidence: self.with_undescribed(confidence, &mut described, &users, *one),
                supersedes: superseded::by_definition(on, candidate, &plans),
                candidate: candidate.clone(),
            });
        }
        superseded::settle(plan, &mut indexes).await?;
        let is_cheaper = |number: &usize| costs[*number] < problem.costs[*number];
        let has_estimate = |number: &usize| used[*number].ones().any(|one| self.is_unproven(*number, one));
        let proven: Vec<usize> = (0..outcomes.len())
            .filter(|number| is_cheaper(number) && !has_estimate(number))
            .collect();
        self.outline(&proven, &outcomes, &indexes, &names);
        Ok(Advice {
            indexes,
            statements: self.statements,
            plans: kept::told(self.planned, self.positions, self.unplanned),
            ..Advice::default()
        })
    }

    /// The new plans of these statements, in which the indexes have the names that they will have.
    fn outline(
        &mut self,
        statements: &[usize],
        outcomes: &[Outcome],
        indexes: &[IndexAdvice],
        names: &BTreeMap<String, usize>,
    ) {
        let will_be: BTreeMap<&str, &str> = names
            .iter()
            .filter_map(|(name, one)| {
                let advised = indexes
                    .iter()
                    .find(|index| index.candidate == self.candidates[*one])?;
                Some((name.as_str(), advised.definition.name.as_str()))
            })
            .collect();
        for number in statements {
            if let Some(tree) = &outcomes[*number].tree {
                self.statements[self.positions[*number]].plan_after = tree.outline(&will_be);
            }
        }
    }

    /// What comes of a statement by estimates, alone or beside what the planner answered, where that is less.
    fn best_estimated(
        &self,
        problem: &Problem,
        statement: usize,
        set: &FixedBitSet,
        answer: &Answer,
    ) -> Option<Answer> {
        let estimates = problem
            .estimates
            .iter()
            .filter(|one| one.statement == statement && self.is_unproven(statement, one.candidate));
        let alone = estimates.map(Estimate::alone);
        let beside = problem.with_estimates(statement, answer);
        let several = problem.with_estimates(statement, &problem.as_it_is(statement));
        let all = alone.chain(beside).chain(several);
        let possible = all.filter(|one| one.used.is_subset(set) && one.cost < answer.cost);
        possible.min_by(|a, b| a.cost.total_cmp(&b.cost))
    }

    /// Whether the planner itself took this one for a statement, and it holds a part of the rows of one of these tables: in a subquery
    /// that is planned alone it sees them.
    fn is_seen_part(&self, statement: usize, one: usize, tables: &BTreeMap<String, &'static str>) -> bool {
        let candidate = &self.candidates[one];
        candidate.predicate.is_some()
            && !self.is_unproven(statement, one)
            && tables.contains_key(&qualified(&candidate.schema, &candidate.table))
    }

    pub(super) fn table_of(&self, one: usize) -> Option<&Table> {
        let candidate = &self.candidates[one];
        self.tables.get(&candidate.schema, &candidate.table)
    }

    /// Whether the planner's plans under the whole set say nothing of what a candidate does for a statement.
    fn is_unproven(&self, statement: usize, one: usize) -> bool {
        self.estimated_sizes.contains_key(&one)
            || self.priced_in_front.contains(&(statement, one))
            || self.remarks.begun.contains(&(statement, one))
    }

    fn needs_trigrams(&self, candidate: &Candidate) -> bool {
        let is_trigram = |class: &String| *class == self.trigram_class;
        candidate
            .keys
            .iter()
            .any(|key| key.operator_class.as_ref().is_some_and(is_trigram))
    }

    pub(super) fn extension_of(&self, candidate: &Candidate) -> Option<&'static str> {
        (!self.has_trigrams && self.needs_trigrams(candidate)).then_some("pg_trgm")
    }

    fn confidence(
        &self,
        candidate: &Candidate,
        is_estimated: bool,
        chosen: Chosen,
        described: &Described,
    ) -> Confidence {
        let estimated = |reason: String| Confidence {
            level: ConfidenceLevel::Estimated,
            reason,
        };
        if is_estimated {
            let extension = match self.extension_of(candidate) {
                Some(name) => format!("; it needs the extension {name}"),
                None => String::new(),
            };
            return estimated(format!(
                "HypoPG knows no {} indexes, so that the planner could not be asked: worked out from its row estimates{extension}",
                candidate.method
            ));
        }
        let table = self.tables.get(&candidate.schema, &candidate.table);
        if table.is_some_and(|table| described.lacks_any(table, candidate)) {
            return estimated(
                "the planner chose it, but before it exists there are no statistics of its expression"
                    .to_owned(),
            );
        }
        if let Some(why) = table.and_then(Table::misread) {
            return estimated(why);
        }
        let reason = match chosen {
            Chosen::WithoutLuck => {
                return estimated(
                    "the planner chose it without the whole set in place, and the cost is the planner's"
                        .to_owned(),
                );
            }
            Chosen::UnderAll => {
                "the planner chose it with the whole set in place, and the cost is the planner's"
            }
            Chosen::Before => {
                "the planner chose it and the costs are the planner's, though it was stopped before every statement that takes \
                 it was planned once more with the whole set in place"
            }
        };
        Confidence {
            level: ConfidenceLevel::Verified,
            reason: reason.to_owned(),
        }
    }

    /// With what would do the same for less, if that is known of all of these statements, and what could no longer be stored.
    pub(super) fn with_caveat(&self, confidence: Confidence, statements: &[usize], one: usize) -> Confidence {
        let of_carrying = self
            .table_of(one)
            .and_then(|table| table.caveat_of_carrying(&self.candidates[one]));
        let of_patterns = self.remarks.caveat_of_patterns(statements);
        let of_patterns = of_patterns.filter(|_| self.needs_trigrams(&self.candidates[one]));
        let of_pages = self
            .remarks
            .caveat_of_pages(statements, &self.candidates[one], &self.tables);
        let caveats = self
            .remarks
            .caveat(statements, one)
            .cloned()
            .into_iter()
            .chain(of_patterns.map(str::to_owned))
            .chain(of_pages.map(str::to_owned))
            .chain(self.caveat_of_words(statements, one))
            .chain(self.caveat_of_rows(statements))
            .chain(of_carrying);
        let reasons: Vec<String> = std::iter::once(confidence.reason).chain(caveats).collect();
        Confidence {
            reason: reasons.join("; "),
            ..confidence
        }
    }
}

/// With what else in place the planner chose an index for the statements that take it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Chosen {
    /// The whole set.
    UnderAll,
    /// The set without what would serve them by luck alone.
    WithoutLuck,
    /// What was there before it was stopped.
    Before,
}

impl Chosen {
    /// As it was for these planned statements.
    fn of(statements: &[usize], outcomes: &[Outcome]) -> Self {
        let mut of_them = statements.iter().map(|number| &outcomes[*number]);
        if of_them.clone().any(|outcome| outcome.tree.is_none()) {
            Self::Before
        } else if of_them.all(|outcome| outcome.is_without_luck) {
            Self::WithoutLuck
        } else {
            Self::UnderAll
        }
    }
}

/// Why nothing can be told of a statement where HypoPG does not see what could serve it.
fn unseen(tables: &BTreeMap<String, &'static str>) -> String {
    let tables = tables
        .iter()
        .map(|(name, told_of_it)| format!("{name}{told_of_it}"));
    format!(
        "whether an index on an expression or on a part of the rows of {} is worth its price cannot be told: HypoPG sees those \
         on the first table of a statement alone",
        tables.collect::<Vec<String>>().join(", ")
    )
}

/// How sure that is which was found out with another table in front, or of a scan alone.
fn priced_in_front() -> Confidence {
    Confidence {
        level: ConfidenceLevel::Estimated,
        reason: "HypoPG sees an index on an expression or on a part of the rows on the first table of a statement alone: the planner \
                 chose it with its table in front, or for the scan of its table alone (of the largest of its partitions, if it has \
                 any), but without the other indexes"
            .to_owned(),
    }
}

/// Which names are taken of those that these would have.
pub(super) async fn taken(
    plan: &Plan,
    candidates: &[Candidate],
    members: &[usize],
    tables: &Tables,
) -> Result<Taken, PostgresError> {
    let of = |one: &usize| {
        let candidate = &candidates[*one];
        let table = tables.get(&candidate.schema, &candidate.table)?;
        Some(wanted_names(candidate, table))
    };
    let wanted: Vec<TableName> = members.iter().filter_map(of).flatten().collect();
    let schemas: Vec<&str> = wanted.iter().map(|name| name.schema.as_str()).collect();
    let names: Vec<&str> = wanted.iter().map(|name| name.name.as_str()).collect();
    let kind = tokio_postgres::types::Type::TEXT_ARRAY;
    let rows = plan
        .session()
        .rows(queries::ADVISE_NAMES, &[(&schemas, kind.clone()), (&names, kind)])
        .await?;
    Ok(Taken::new(rows.iter().filter_map(|row| {
        Some(TableName {
            schema: row.try_get("schema").ok()?,
            name: row.try_get("name").ok()?,
        })
    })))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::index_advisor::selection::Scans;

    #[test]
    fn only_what_was_chosen_under_all_is_told_so() {
        let outcome = |is_planned: bool, is_without_luck: bool| {
            let tree =
                PlanTree::read(&json!([{"Plan": {"Node Type": "Result", "Total Cost": 8.0}}])).unwrap();
            Outcome {
                answer: Answer {
                    cost: 8.0,
                    used: FixedBitSet::with_capacity(1),
                    scans: Scans::new(),
                },
                tree: is_planned.then_some(tree),
                is_without_luck,
            }
        };
        let outcomes = [outcome(true, false), outcome(true, true), outcome(false, false)];
        assert_eq!(Chosen::of(&[0], &outcomes), Chosen::UnderAll);
        assert_eq!(Chosen::of(&[0, 1], &outcomes), Chosen::UnderAll);
        assert_eq!(Chosen::of(&[1], &outcomes), Chosen::WithoutLuck);
        assert_eq!(Chosen::of(&[1, 2], &outcomes), Chosen::Before);
    }

    #[test]
    fn each_table_that_is_not_seen_is_named() {
        let tables = BTreeMap::from([("s.a".to_owned(), ""), ("s.b".to_owned(), " (below)")]);
        let told = unseen(&tables);
        assert!(told.contains("rows of s.a, s.b (below) is worth"), "{told}");
    }
}
