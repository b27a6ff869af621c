//! What is found out of a workload before any index is tried: plans as things are, tables, candidates.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;

use super::advice::StatementAdvice;
use super::answers::Answers;
use super::begins;
use super::candidate::{Candidate, Kinds};
use super::clauses::{Key, Predicate, RelationUse};
use super::dealt::{Dealt, Fit, Hands, fit};
use super::early_stop::take_orders;
use super::estimated::estimate;
use super::first_plan::as_it_is;
use super::gate::Gate;
use super::maker::of_use;
use super::numbered::definitions;
use super::parents::is_empty_parent;
use super::rare::Rare;
use super::remarks::{Remarks, why_nothing};
use super::selection::Scans;
use super::tables::{TableName, Tables};
use super::what_if::Planned;
use super::workload::{SearchPaths, WorkloadStatement};
use crate::limits;
use crate::model::remedy::{EXTENSIONS_SCHEMA, qualified};
use crate::postgres::{Plan, PostgresError, queries};

/// What was found out before any index is tried.
pub(super) struct Ready {
    pub(super) statements: Vec<StatementAdvice>,
    pub(super) planned: Vec<Planned>,
    /// The position of each planned statement in the workload.
    pub(super) positions: Vec<usize>,
    /// Those that were not planned, and why, in words that hold nothing of their texts.
    pub(super) unplanned: Vec<(usize, String)>,
    /// Those of them that did not end when they were cancelled.
    pub(super) stubborn: Vec<usize>,
    /// What the planner answered with hypothetical indexes.
    pub(super) answers: Answers,
    pub(super) relevant: Vec<Vec<usize>>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) known: BTreeMap<Candidate, usize>,
    /// What indexes are worth that are priced apart: by statement and candidate.
    pub(super) estimates: Vec<(usize, usize, f64)>,
    /// What they would replace, where that is known.
    pub(super) replaced: BTreeMap<(usize, usize), Scans>,
    /// What searches take more than the planner counts, by statement.
    pub(super) unseen_costs: BTreeMap<usize, f64>,
    pub(super) estimated_sizes: BTreeMap<usize, Option<f64>>,
    /// Keys that a row has in each GIN index, as far as is known, by candidate.
    pub(super) keys_per_row: BTreeMap<usize, f64>,
    /// BRIN indexes that could serve a statement: by statement and candidate.
    pub(super) blocks: Vec<(usize, usize)>,
    /// What is priced with its table in front, or by its scans alone, since HypoPG does not see it otherwise: by statement and
    /// candidate.
    pub(super) priced_in_front: BTreeSet<(usize, usize)>,
    /// The table that was put in front of each statement that is planned in other words.
    pub(super) in_front: BTreeMap<usize, TableName>,
    /// Tables on which it does not see what could serve a statement, by statement: their qualified names, with what is told of each.
    pub(super) unseen_tables: BTreeMap<usize, BTreeMap<String, &'static str>>,
    /// How well each candidate fits what a statement asks, where no planner can be asked.
    pub(super) fits: BTreeMap<(usize, usize), Fit>,
    /// Candidates that were not tried for some statement, since HypoPG has no room for all of them at once.
    pub(super) without_room: BTreeSet<Candidate>,
    /// Keys that rows are sorted by somewhere, and keys that are searched for one value.
    pub(super) ordering: BTreeSet<KeyOf>,
    pub(super) points: BTreeSet<KeyOf>,
    /// Keys whose ranges are searched together with a value of another key.
    pub(super) ranged_beside_points: BTreeSet<KeyOf>,
    pub(super) remarks: Remarks,
    pub(super) trigram_class: String,
    pub(super) has_trigrams: bool,
    pub(super) tables: Tables,
    pub(super) rare: Rare,
}

/// A key with the schema and the name of its table.
pub(super) type KeyOf = (String, String, Key);

impl Ready {
    /// Nothing is planned yet of this workload.
    pub(super) async fn new(plan: &Plan, workload: Vec<WorkloadStatement>) -> Result<Self, PostgresError> {
        let rows = plan.session().rows(queries::ADVISE_TRIGRAMS, &[]).await?;
        let schema = rows
            .first()
            .and_then(|row| row.try_get::<_, String>("schema").ok());
        let has_trigrams = schema.is_some();
        // the search_path of whoever makes an index may lead elsewhere
        let trigram_class = qualified(schema.as_deref().unwrap_or(EXTENSIONS_SCHEMA), "gin_trgm_ops");
        Ok(Self {
            statements: workload.into_iter().map(StatementAdvice::of).collect(),
            planned: Vec::new(),
            positions: Vec::new(),
            unplanned: Vec::new(),
            stubborn: Vec::new(),
            answers: Answers::default(),
            relevant: Vec::new(),
            candidates: Vec::new(),
            known: BTreeMap::new(),
            estimates: Vec::new(),
            replaced: BTreeMap::new(),
            unseen_costs: BTreeMap::new(),
            estimated_sizes: BTreeMap::new(),
            keys_per_row: BTreeMap::new(),
            blocks: Vec::new(),
            priced_in_front: BTreeSet::new(),
            in_front: BTreeMap::new(),
            unseen_tables: BTreeMap::new(),
            fits: BTreeMap::new(),
            without_room: BTreeSet::new(),
            ordering: BTreeSet::new(),
            points: BTreeSet::new(),
            ranged_beside_points: BTreeSet::new(),
            remarks: Remarks::default(),
            trigram_class,
            has_trigrams,
            tables: Tables::default(),
            rare: Rare::default(),
        })
    }

    /// The positions of all statements, the costliest first: by the time that they took, where that was measured, else by their
    /// weight. Time that runs out is lost on the others.
    pub(super) fn costliest_first(&self) -> Vec<usize> {
        let price = |position: &usize| {
            let statement = &self.statements[*position].statement;
            statement.weight * statement.seconds_per_call.unwrap_or(1.0)
        };
        let mut positions: Vec<usize> = (0..self.statements.len()).collect();
        positions.sort_by(|a, b| price(b).total_cmp(&price(a)).then(a.cmp(b)));
        positions
    }

    /// A statement that is not planned, and why.
    pub(super) fn leave(&mut self, position: usize, reason: impl Into<String>) {
        self.statements[position].reason = Some(reason.into());
    }

    /// Plans the statement in this position as things are.
    pub(super) async fn take(
        &mut self,
        plan: &Plan,
        gate: &mut Gate,
        paths: &mut SearchPaths,
        position: usize,
        kinds: Kinds,
    ) -> Result<(), PostgresError> {
        let planned = match as_it_is(plan, gate, paths, &self.statements[position].statement).await? {
            Ok(planned) => planned,
            Err(refused) => {
                if refused.is_stubborn {
                    self.stubborn.push(position);
                }
                self.unplanned.push((position, refused.without_text));
                self.leave(position, refused.reason);
                return Ok(());
            }
        };
        self.leave(position, "");
        let number = self.planned.len();
        let tree = &planned.tree;
        let (relevant, refusals) = match self.candidates_of(plan, &planned, number, kinds).await {
            Ok(found) => found,
            Err(error) if error.is_fatal() => return Err(error),
            // somebody holds a lock just now, or it takes too long: one statement must not lose the others
            Err(error) => {
                let why = "what its tables are could not be read";
                self.unplanned.push((position, why.to_owned()));
                self.leave(position, format!("{why}: {}", error.one_line()));
                return Ok(());
            }
        };
        if !refusals.is_empty() {
            self.leave(position, refusals.into_iter().collect::<Vec<_>>().join("; "));
        }
        self.remarks.take(number, &planned.text, tree);
        let told = &mut self.statements[position];
        told.has_guessed_types = planned.has_guessed_types;
        told.cost_before = Some(tree.total_cost());
        told.plan_before = tree.outline(&BTreeMap::new());
        told.has_candidates = !relevant.is_empty() || self.estimates.iter().any(|(one, ..)| *one == number);
        if told.has_candidates {
            told.reason = None;
        } else if told.reason.as_deref() == Some("") {
            let why = self.remarks.why_none(number).cloned();
            told.reason = Some(why.unwrap_or_else(|| why_nothing(tree)));
        }
        self.planned.push(planned);
        self.positions.push(position);
        self.relevant.push(relevant);
        Ok(())
    }

    /// The candidates for one plan, and why there are none for a table.
    async fn candidates_of(
        &mut self,
        plan: &Plan,
        planned: &Planned,
        number: usize,
        kinds: Kinds,
    ) -> Result<(Vec<usize>, BTreeSet<String>), PostgresError> {
        let tree = &planned.tree;
        let mut uses = planned.asked();
        let names: BTreeSet<TableName> = uses
            .iter()
            .map(|asked| TableName {
                schema: asked.schema.clone(),
                name: asked.table.clone(),
            })
            .collect();
        self.tables.learn(plan, &names).await?;
        take_orders(&mut uses, tree, &self.tables);
        if kinds.partial {
            self.learn_rare(plan, &uses).await?;
        }
        let mut made: Vec<RelationUse> = Vec::new();
        let mut hands = Hands::default();
        let mut estimated = Vec::new();
        let mut refusals = BTreeSet::new();
        let mut serving = BTreeSet::new();
        let mut blocks = Vec::new();
        for asked in &uses {
            let Some(table) = self.tables.get(&asked.schema, &asked.table) else {
                continue;
            };
            // nobody need analyze it
            if !table.was_analyzed && is_empty_parent(tree, asked) {
                continue;
            }
            if let Some(refusal) = table.refusal() {
                refusals.insert(refusal);
                continue;
            }
            let mut whole = table.read(asked);
            whole.alias.clear();
            let is_a_part = |one: &Predicate| table.picks_a_part(one) && self.rare.allows(table, one);
            whole.predicates.retain(is_a_part);
            let of_table = |key: &Key| (whole.schema.clone(), whole.table.clone(), key.clone());
            self.ordering.extend(
                whole
                    .sorted
                    .iter()
                    .flatten()
                    .map(|ordered| of_table(&ordered.key)),
            );
            self.points.extend(whole.equal.union(&whole.joined).map(of_table));
            if whole.equal.union(&whole.joined).next().is_some() {
                self.ranged_beside_points
                    .extend(whole.ranged.iter().map(of_table));
            }
            let mut fresh = |candidate: Candidate| {
                if kinds.btree && candidate.method == "brin" {
                    blocks.extend(table.is_stored_in_order_of(&candidate).then_some(candidate));
                    return None;
                }
                if !table.may_carry(&candidate, |key| whole.asks_by(key)) {
                    return None;
                }
                if kinds.partial && table.begins_with_nulls_of_most(&candidate, &whole) {
                    return None;
                }
                match table.serving(&candidate, &whole) {
                    None => Some((fit(&whole, &candidate), candidate)),
                    Some(index) => {
                        serving.insert(qualified(&index.schema, &index.name));
                        None
                    }
                }
            };
            // partitions are many, and mostly asked the same
            if !made.contains(&whole) {
                let of_kinds = of_use(&whole, kinds).into_iter();
                let fresh_of = |hand: Vec<Candidate>| hand.into_iter().filter_map(&mut fresh).collect();
                hands.add(of_kinds.map(fresh_of).collect());
                made.push(whole.clone());
            }
            let here = RelationUse {
                schema: asked.schema.clone(),
                table: asked.table.clone(),
                alias: asked.alias.clone(),
                ..whole
            };
            estimated.extend(estimate(tree, &here, table, &self.trigram_class, kinds.estimated));
            estimated.extend(begins::estimate(tree, &here, table, kinds));
        }
        let mut relevant = Vec::new();
        let takes = |one: &Candidate| match plan.hypothetical() {
            Some(_) => definitions(one, &self.tables).len(),
            None => 0,
        };
        let Dealt { tried, without_room } = hands.dealt(limits::CANDIDATES_PER_STATEMENT, &takes);
        self.without_room.extend(without_room);
        for (fit, candidate) in tried {
            let one = self.number_of(candidate);
            self.fits.insert((number, one), fit);
            relevant.push(one);
        }
        for candidate in blocks {
            let one = self.number_of(candidate);
            self.blocks.push((number, one));
        }
        self.take_estimates(number, tree, estimated);
        if relevant.is_empty() && !serving.is_empty() {
            let serving: Vec<String> = serving.into_iter().collect();
            refusals.insert(format!("{} answers it already", serving.join(", ")));
        }
        Ok((relevant, refusals))
    }

    /// The number of a candidate, which is a new one if it was not known.
    pub(super) fn number_of(&mut self, candidate: Candidate) -> usize {
        let candidate = candidate.simplest();
        let next = self.candidates.len();
        let number = *self.known.entry(candidate.clone()).or_insert(next);
        if number == next {
            self.candidates.push(candidate);
        }
        number
    }

    /// Those of a set that the planner can be asked about.
    pub(super) fn provable(&self, set: &FixedBitSet) -> FixedBitSet {
        let mut provable = FixedBitSet::with_capacity(set.len());
        provable.extend(set.ones().filter(|one| !self.estimated_sizes.contains_key(one)));
        provable
    }
}
