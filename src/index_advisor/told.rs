//! What came of a workload, as advice: the set in the order of its value, or, where no planner could be asked, a guess.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;

use super::advice::{Advice, IndexAdvice};
use super::build;
use super::candidate::Candidate;
use super::confirmed::{Confirmed, Outcome};
use super::dealt::Fit;
use super::definition::{Taken, define, wanted_names};
use super::kept;
use super::partition::share_of_rows;
use super::ready::Ready;
use super::remarks::of_begun;
use super::selection::Problem;
use super::superseded;
use super::tables::{Table, TableName, Tables};
use super::upkeep::Writes;
use crate::model::finding::{Confidence, ConfidenceLevel};
use crate::model::plan::PlanTree;
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
            let estimates = problem
                .estimates
                .iter()
                .filter(|one| one.statement == number && self.is_unproven(number, one.candidate));
            let best = estimates
                .filter(|one| set.contains(one.candidate) && one.cost < answer.cost)
                .min_by(|a, b| a.cost.total_cmp(&b.cost));
            let mut uses = answer.used.clone();
            if let Some(best) = best {
                uses.clear();
                uses.insert(best.candidate);
            }
            costs.push(best.map_or(answer.cost, |best| best.cost));
            used.push(uses);
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
        for number in 0..outcomes.len() {
            let why_without = match self.unseen_tables.get(&number) {
                Some(table) if self.remarks.why_none(number).is_none() => unseen(table),
                _ => self.why_without(number, problem.budget_bytes),
            };
            let told = &mut self.statements[self.positions[number]];
            told.cost_after = Some(costs[number]);
            if told.has_candidates && used[number].is_clear() {
                told.reason = Some(why_without);
            }
            told.uses = (0..members.len())
                .filter(|position| used[number].contains(members[*position]))
                .collect();
        }
        let mut taken = taken(plan, &self.candidates, &members, &self.tables).await?;
        let seconds_per_unit = build::seconds_per_unit(&self.statements);
        let built = self.built_sizes(problem);
        let mut indexes = Vec::new();
        for one in &members {
            let candidate = &self.candidates[*one];
            let Some(table) = self.table_of(*one) else {
                continue;
            };
            let users: Vec<usize> = (0..used.len())
                .filter(|number| used[*number].contains(*one))
                .collect();
            let is_confirmed = users.iter().all(|number| outcomes[*number].tree.is_some());
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
                false => self.confidence(candidate, estimated.is_some(), is_confirmed),
            };
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
                confidence: self.with_caveat(confidence, &users, *one),
                supersedes: superseded::by_definition(on, candidate),
                candidate: candidate.clone(),
            });
        }
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

    fn table_of(&self, one: usize) -> Option<&Table> {
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

    fn extension_of(&self, candidate: &Candidate) -> Option<&'static str> {
        (!self.has_trigrams && self.needs_trigrams(candidate)).then_some("pg_trgm")
    }

    fn confidence(&self, candidate: &Candidate, is_estimated: bool, is_confirmed: bool) -> Confidence {
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
        if candidate.has_expressions() {
            return estimated(
                "the planner chose it under the whole set, but before it exists there are no statistics of its expression"
                    .to_owned(),
            );
        }
        let reason = match is_confirmed {
            true => "the planner chose it with the whole set in place, and the cost is the planner's",
            false => {
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
    fn with_caveat(&self, confidence: Confidence, statements: &[usize], one: usize) -> Confidence {
        let of_carrying = self
            .table_of(one)
            .and_then(|table| table.caveat_of_carrying(&self.candidates[one]));
        let caveats = self
            .remarks
            .caveat(statements, one)
            .cloned()
            .into_iter()
            .chain(of_carrying);
        let reasons: Vec<String> = std::iter::once(confidence.reason).chain(caveats).collect();
        Confidence {
            reason: reasons.join("; "),
            ..confidence
        }
    }

    /// Without HypoPG: for each statement the candidate that fits best what it asks, unproven.
    pub(super) async fn guessed(mut self, plan: &Plan) -> Result<Advice, PostgresError> {
        let mut chosen: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, relevant) in self.relevant.iter().enumerate() {
            let tables = |one: &&usize| {
                let candidate = &self.candidates[**one];
                (candidate.schema.clone(), candidate.table.clone())
            };
            let mut by_table: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
            for one in relevant {
                by_table.entry(tables(&one)).or_default().push(*one);
            }
            for ((schema, table), candidates) in by_table {
                let reads_all = reads_for_few(&self.planned[number].tree, &schema, &table, &self.tables);
                if let (true, Some(best)) = (
                    reads_all,
                    candidates
                        .iter()
                        .copied()
                        .min_by_key(|one| self.rank(number, *one)),
                ) {
                    chosen.entry(best).or_default().push(self.positions[number]);
                }
            }
            for (_, one, _) in self
                .estimates
                .iter()
                .filter(|(statement, ..)| *statement == number)
            {
                chosen.entry(*one).or_default().push(self.positions[number]);
            }
        }
        // one that begins with all the keys of another serves for both
        let all: Vec<usize> = chosen.keys().copied().collect();
        for one in &all {
            let longer = all.iter().find(|other| {
                *other != one
                    && chosen.contains_key(other)
                    && self.candidates[*one].is_prefix_of(&self.candidates[**other])
            });
            if let Some(longer) = longer
                && let Some(statements) = chosen.remove(one)
            {
                chosen.entry(*longer).or_default().extend(statements);
            }
        }
        chosen.retain(|one, _| self.table_of(*one).is_some());
        let members: Vec<usize> = chosen.keys().copied().collect();
        let mut taken = taken(plan, &self.candidates, &members, &self.tables).await?;
        let mut advice = Advice::default();
        for (one, mut statements) in chosen {
            let candidate = &self.candidates[one];
            let Some(table) = self.table_of(one) else { continue };
            statements.sort_unstable();
            statements.dedup();
            let cost = |position: &usize| {
                let told = &self.statements[*position];
                told.cost_before.unwrap_or(0.0) * told.statement.weight
            };
            let before = statements.iter().map(cost).sum();
            let alone = self.read_alone(table, &statements);
            let on = alone.as_ref().unwrap_or(table);
            let size_bytes = self.estimated_sizes.get(&one).copied().flatten();
            let users =
                (0..self.positions.len()).filter(|number| statements.contains(&self.positions[*number]));
            let users: Vec<usize> = users.collect();
            let index = IndexAdvice {
                definition: define(candidate, on, &mut taken, self.extension_of(candidate)),
                size_bytes: size_bytes
                    .zip(share_of_rows(on, table))
                    .map(|(bytes, share)| bytes * share),
                build_seconds: None,
                assumed_build_seconds: None,
                write_cost: 0.0,
                writes_are_counted: false,
                cost_before: before,
                cost_after: before,
                statements,
                confidence: self.with_caveat(without_planner(), &users, one),
                supersedes: superseded::by_definition(on, candidate),
                candidate: candidate.clone(),
            };
            for position in &index.statements {
                self.statements[*position].uses.push(advice.indexes.len());
            }
            advice.indexes.push(index);
        }
        advice.statements = self.statements;
        advice.plans = kept::told(self.planned, self.positions, self.unplanned);
        Ok(advice)
    }

    /// Without a planner to ask: the candidate that fits best, and of those the plainest, comes first.
    fn rank(&self, statement: usize, one: usize) -> (Fit, bool, usize) {
        let fit = self
            .fits
            .get(&(statement, one))
            .copied()
            .unwrap_or((usize::MAX, 0));
        (fit, self.candidates[one].predicate.is_some(), one)
    }
}

/// Why nothing can be told of a statement where HypoPG does not see what could serve it.
fn unseen(table: &str) -> String {
    format!(
        "whether an index on an expression or on a part of the rows of {table} is worth its price cannot be told: HypoPG sees those \
         on the first table of a statement alone"
    )
}

/// How sure a guess is.
fn without_planner() -> Confidence {
    Confidence {
        level: ConfidenceLevel::Estimated,
        reason: "HypoPG is not installed in this database, so that the planner could not be asked".to_owned(),
    }
}

/// How sure that is which was found out with another table in front.
fn priced_in_front() -> Confidence {
    Confidence {
        level: ConfidenceLevel::Estimated,
        reason: "HypoPG sees an index on an expression or on a part of the rows on the first table of a statement alone: the planner \
                 chose it with its table in front, but without the other indexes"
            .to_owned(),
    }
}

async fn taken(
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

/// Whether a plan reads a whole table for a small part of its rows.
fn reads_for_few(tree: &PlanTree, schema: &str, table: &str, tables: &Tables) -> bool {
    const FEW: f64 = 0.1;
    tree.nodes().into_iter().any(|node| {
        let read = node.schema.as_deref().zip(node.relation.as_deref());
        let known = read.and_then(|(schema, name)| tables.get(schema, name));
        node.kind == "Seq Scan"
            && known.is_some_and(|known| {
                (known.name.schema.as_str(), known.name.name.as_str()) == (schema, table)
                    && node.rows < FEW * known.rows
            })
    })
}
