//! The planner's own price of statements under sets of hypothetical indexes. Every question is counted: it is what advice
//! costs the server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use fixedbitset::FixedBitSet;

use super::answers::Answers;
use super::by_values::Values;
use super::candidate::{Beginning, Candidate, IndexKey};
use super::clauses::{RelationUse, of_plan};
use super::early_stop::{self, EarlyStop};
use super::gate::{Gate, Passage};
use super::later_pages::Keys;
use super::present::Present;
use super::search_path::SearchPath;
use super::selection::{Answer, Planner, Scans, scans};
use super::tables::Tables;
use crate::limits;
use crate::model::plan::PlanTree;
use crate::postgres::{Detail, Parameters, Plan, PostgresError, ServerText};

/// A statement as it is planned again and again.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its text, which the gate let pass.
    pub text: ServerText,
    /// The search_path of its user.
    pub search_path: SearchPath,
    /// Whether it has parameters, so that its generic plan is judged.
    pub has_parameters: bool,
    /// Who ran it, where that is known.
    pub role: Option<String>,
    /// When the gate let it pass.
    pub passed_at: Instant,
    /// What it costs as things are, and the plan.
    pub tree: PlanTree,
    /// Numbers of the parameters that stand for a list of any length: it is planned for lists of one.
    pub lists: BTreeSet<usize>,
    /// Rows that a call gave, where its LIMIT and OFFSET were parameters: it is planned for the first page.
    pub page_rows: Option<f64>,
    /// Whether nothing told the types of its parameters, so that they were guessed.
    pub has_guessed_types: bool,
    /// Whether it locks rows as it reads them; the SELECT that is planned in its place does not.
    pub locks_rows: bool,
    /// Common, median and rare values of all parameters, where it stops at a LIMIT and they are known.
    pub values: Vec<Values>,
    /// What it costs on the average of these as things are, where that says more than its plan for parameters in general.
    pub cost_by_values: Option<f64>,
}

impl Planned {
    /// What it asks of each relation.
    pub(super) fn asked(&self) -> Vec<RelationUse> {
        let mut uses = of_plan(&self.tree);
        if self.locks_rows {
            uses.iter_mut().for_each(RelationUse::lock_rows);
        }
        uses
    }

    /// What EXPLAIN is told of its parameters.
    pub fn parameters(&self) -> Parameters<'static> {
        Self::told_of(self.has_parameters)
    }

    /// The same for a statement that has parameters, or has none.
    pub fn told_of(has_parameters: bool) -> Parameters<'static> {
        match has_parameters {
            true => Parameters::Unknown,
            false => Parameters::Values(&[]),
        }
    }
}

/// A statement is planned so often at once, each time without what would serve it by luck alone.
const LUCKY_TRIED: usize = 4;

/// A planning session with candidates of which some are there as hypothetical indexes.
pub struct WhatIf<'a> {
    plan: &'a Plan,
    gate: &'a mut Gate,
    /// When the gate last let each statement pass.
    passed: Vec<Instant>,
    statements: &'a [Planned],
    candidates: &'a [Candidate],
    /// Those that the candidates are on.
    tables: &'a Tables,
    present: Present,
    /// The session in which they were made.
    generation: usize,
    /// What was answered.
    answers: Answers,
    /// Statements that could not be planned when they were asked for last.
    unplannable: BTreeSet<usize>,
    /// Of each statement the candidates that would only serve it by luck. While others are searched for they are kept from
    /// it: the planner would take them and pass over what serves it surely.
    lucky: BTreeMap<usize, FixedBitSet>,
    /// How often a statement was planned for the last answer.
    questions: usize,
    /// How often the planner was asked with hypothetical indexes.
    pub calls: usize,
}

impl<'a> WhatIf<'a> {
    /// Nothing is there yet.
    pub fn new(
        plan: &'a Plan,
        gate: &'a mut Gate,
        statements: &'a [Planned],
        candidates: &'a [Candidate],
        tables: &'a Tables,
    ) -> Self {
        Self {
            plan,
            gate,
            passed: statements.iter().map(|planned| planned.passed_at).collect(),
            statements,
            candidates,
            tables,
            present: Present::default(),
            generation: plan.generation(),
            answers: Answers::default(),
            unplannable: BTreeSet::new(),
            lucky: BTreeMap::new(),
            questions: 0,
            calls: 0,
        }
    }

    /// The sizes in bytes that HypoPG estimates, `None` for a candidate that it does not take, or that it was not asked about
    /// before it was to end.
    ///
    /// # Errors
    /// If the session is lost.
    pub async fn sizes(
        &mut self,
        is_over: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Option<f64>>, PostgresError> {
        self.plan.keep_open().await?;
        let mut sizes = Vec::with_capacity(self.candidates.len());
        // HypoPG has OIDs for some 2 500 at once
        for chunk in self.candidates.chunks(500) {
            if is_over() {
                break;
            }
            let definitions: Vec<String> = chunk.iter().map(Candidate::hypothetical).collect();
            let made = self.plan.create_hypothetical(&definitions).await?;
            sizes.extend(
                made.iter()
                    .map(|index| index.as_ref().map(|index| index.size_bytes)),
            );
            self.plan.reset_hypothetical().await?;
        }
        self.present.clear();
        sizes.resize(self.candidates.len(), None);
        Ok(sizes)
    }

    /// The values that a statement is priced by.
    pub(super) fn values_of(&self, statement: usize) -> &'a [Values] {
        &self.statements[statement].values
    }

    /// The tables that the candidates are on.
    pub(super) fn tables(&self) -> &'a Tables {
        self.tables
    }

    /// Makes exactly these candidates present.
    async fn show(&mut self, set: &FixedBitSet) -> Result<(), PostgresError> {
        let generation = self.plan.generation();
        if generation != self.generation {
            self.present.clear();
            self.generation = generation;
        }
        let oids = self.present.keep(set);
        if !oids.is_empty() {
            self.plan.drop_hypothetical(&oids).await?;
        }
        let (missing, definitions) = self.present.missing(set, self.candidates, self.tables);
        let made = self.plan.create_hypothetical(&definitions).await?;
        self.present.add(missing.into_iter().zip(made));
        Ok(())
    }
}

impl WhatIf<'_> {
    /// The names that plans give to the candidates that are there.
    pub fn names(&self) -> BTreeMap<String, usize> {
        let present = self.present.iter();
        present.map(|(one, index)| (index.name.clone(), *one)).collect()
    }

    /// The keys of a candidate that is there by the name that plans give it; `None` for other indexes.
    pub fn keys_of(&self, name: &str) -> Option<Keys> {
        let (one, _) = self.present.iter().find(|(_, index)| index.name == name)?;
        let candidate = &self.candidates[*one];
        let ordered = candidate.keys.iter().map(IndexKey::ordered).collect();
        let table = self.tables.get(&candidate.schema, &candidate.table);
        Some(Keys::of(ordered, table))
    }

    /// The statements that a new index would serve by luck alone.
    pub(super) fn by_luck(&self) -> BTreeSet<usize> {
        self.lucky.keys().copied().collect()
    }

    /// A set without what would serve a statement by luck alone, as far as that was seen; `None` if nothing of it would.
    pub(super) fn without_luck(&self, statement: usize, set: &FixedBitSet) -> Option<FixedBitSet> {
        let lucky = self.lucky.get(&statement)?;
        let mut rest = set.clone();
        rest.difference_with(lucky);
        (rest.count_ones(..) < set.count_ones(..)).then_some(rest)
    }

    /// What a plan costs if nothing that it finds by a new index comes early by luck.
    pub(super) fn sure_cost(&self, tree: &PlanTree) -> f64 {
        tree.total_cost() + early_stop::of(tree, &|name| self.keys_of(name)).hoped
    }

    /// The statements of which the last answer is what they cost as things are: they could not be planned.
    pub fn unplannable(&self) -> BTreeSet<usize> {
        self.unplannable.clone()
    }

    /// Hands over what was answered.
    pub fn take_answers(&mut self) -> Answers {
        std::mem::take(&mut self.answers)
    }

    /// Forgets all hypothetical indexes.
    ///
    /// # Errors
    /// If the session is lost.
    pub async fn end(&mut self) -> Result<(), PostgresError> {
        self.present.clear();
        self.plan.keep_open().await?;
        self.plan.reset_hypothetical().await
    }

    /// Whether the gate still lets a statement pass: what its names mean can change while the search goes on.
    async fn may_plan(&mut self, statement: usize) -> Result<bool, PostgresError> {
        if self.passed[statement].elapsed() < limits::GATE_MEMORY {
            return Ok(true);
        }
        let statements = self.statements;
        let passes = self.passes(statement, &statements[statement].text).await?;
        if passes {
            self.passed[statement] = Instant::now();
        }
        Ok(passes)
    }

    /// Whether the gate lets a statement pass just now, in these words.
    async fn passes(&mut self, statement: usize, text: &ServerText) -> Result<bool, PostgresError> {
        let planned = &self.statements[statement];
        let (path, role) = (&planned.search_path, planned.role.as_deref());
        let passage = self.gate.examine(self.plan, text, path, role).await?;
        Ok(matches!(passage, Passage::Passes { .. }))
    }

    /// The candidates that a plan reads.
    pub(super) fn used_by(&self, tree: &PlanTree) -> FixedBitSet {
        let mut used = FixedBitSet::with_capacity(self.candidates.len());
        for name in tree.nodes().into_iter().filter_map(|node| node.index.as_ref()) {
            let of_ours = self.present.iter().find(|(_, index)| index.name == *name);
            used.extend(of_ours.map(|(candidate, _)| *candidate));
        }
        used
    }

    /// The candidates that any of these plans reads.
    pub(super) fn used_by_all(&self, trees: &[PlanTree]) -> FixedBitSet {
        let mut used = FixedBitSet::with_capacity(self.candidates.len());
        trees.iter().for_each(|tree| used.union_with(&self.used_by(tree)));
        used
    }

    /// Keeps from a statement what would serve it by luck alone, and what begins as that does.
    fn keep_away(&mut self, statement: usize, early: &EarlyStop<'_>) {
        let by_luck = self.present.iter().filter_map(|(candidate, index)| {
            let first = early.by_luck.get(index.name.as_str())?;
            Some(self.candidates[*candidate].beginning(*first))
        });
        let begins: Vec<Beginning<'_>> = by_luck.collect();
        let lucky = self.lucky.entry(statement).or_default();
        for (one, candidate) in self.candidates.iter().enumerate() {
            if begins.iter().any(|begin| candidate.begins_with(begin)) {
                lucky.grow_and_insert(one);
            }
        }
    }

    /// What a statement costs without any candidate.
    fn as_it_is(&self, statement: usize) -> Answer {
        Answer {
            cost: self.statements[statement].cost(),
            used: FixedBitSet::with_capacity(self.candidates.len()),
            scans: Scans::new(),
        }
    }

    /// The answer with the whole plan; what it is as things are if the statement cannot be planned just now.
    ///
    /// # Errors
    /// If the gate cannot be asked, or the session is lost and no other is to be had.
    pub async fn planned_under(
        &mut self,
        statement: usize,
        set: &FixedBitSet,
    ) -> Result<(Answer, PlanTree), PostgresError> {
        let planned = &self.statements[statement];
        self.unplannable.insert(statement);
        self.calls += usize::from(set.is_clear());
        let parameters = planned.parameters();
        let Some(tree) = self.tree_for(statement, set, None, parameters).await? else {
            return Ok((self.as_it_is(statement), planned.tree.clone()));
        };
        self.unplannable.remove(&statement);
        let mut used = self.used_by(&tree);
        let priced = self.priced(statement, set, None, &tree).await?;
        used.union_with(&priced.used);
        let mut cost = priced.cost;
        // all that such a plan may read is what it costs at most, for whatever value; dearer than now nobody is promised
        if let Some(trap) = &priced.trap {
            self.keep_away(statement, trap);
            cost = (cost + trap.hoped).min(planned.cost()).max(cost);
            if cost >= planned.cost() {
                used.clear();
            }
        }
        let answer = Answer {
            cost,
            used,
            scans: scans(&tree),
        };
        self.answers.add(statement, set, &answer);
        Ok((answer, tree))
    }
}

impl WhatIf<'_> {
    /// What a statement costs under a set for these parameters, in other words if there are any; `None` if it cannot be
    /// planned so.
    ///
    /// # Errors
    /// If the session is lost.
    pub async fn cost_for(
        &mut self,
        statement: usize,
        set: &FixedBitSet,
        other_words: Option<&ServerText>,
        parameters: Parameters<'_>,
    ) -> Result<Option<f64>, PostgresError> {
        let tree = self.tree_for(statement, set, other_words, parameters).await?;
        Ok(tree.map(|tree| tree.total_cost()))
    }

    /// The same with the whole plan.
    ///
    /// # Errors
    /// If the session is lost.
    pub async fn tree_for(
        &mut self,
        statement: usize,
        set: &FixedBitSet,
        other_words: Option<&ServerText>,
        parameters: Parameters<'_>,
    ) -> Result<Option<PlanTree>, PostgresError> {
        match self.explained(statement, set, other_words, parameters).await {
            // the session was lost with it: another one takes its place
            Err(error) if error.is_fatal() => self.plan.go_on_after(error).await.map(|_| None),
            asked => asked,
        }
    }

    /// The plan under a set, after the gate let it pass; `None` if it cannot be planned just now.
    async fn explained(
        &mut self,
        statement: usize,
        set: &FixedBitSet,
        other_words: Option<&ServerText>,
        parameters: Parameters<'_>,
    ) -> Result<Option<PlanTree>, PostgresError> {
        self.plan.keep_open().await?;
        if set.is_clear() && self.generation != self.plan.generation() {
            // what was hidden in the session before is not hidden in this one
            self.show(set).await?;
            return Ok(None);
        }
        let may_plan = match other_words {
            Some(text) => self.passes(statement, text).await?,
            None => self.may_plan(statement).await?,
        };
        if !may_plan {
            return Ok(None);
        }
        self.show(set).await?;
        self.calls += usize::from(!set.is_clear());
        let planned = &self.statements[statement];
        let path = planned.search_path.to_string();
        let text = other_words.unwrap_or(&planned.text);
        // under a LIMIT it counts what is compared with what; min and max become one where an index ends in what they ask for
        let may_stop = |kind: &str| matches!(kind, "Limit" | "Aggregate");
        let detail = match planned.tree.nodes().iter().any(|node| may_stop(&node.kind)) {
            true => Detail::Expressions,
            false => Detail::Costs,
        };
        let asked = self.plan.explain(text, &path, parameters, detail);
        match asked.await {
            Ok(tree) => Ok(Some(tree)),
            Err(error) if error.is_fatal() => Err(error),
            // somebody holds a lock just now, or it takes too long: one statement must not lose the others
            Err(_) => Ok(None),
        }
    }
}

impl Planner for WhatIf<'_> {
    async fn ask(&mut self, statement: usize, set: &FixedBitSet) -> Result<Answer, PostgresError> {
        let mut asked = set.clone();
        let mut best: Option<Answer> = None;
        self.questions = 0;
        for _ in 0..LUCKY_TRIED {
            if let Some(lucky) = self.lucky.get(&statement) {
                asked.difference_with(lucky);
            }
            if asked.is_clear() && !set.is_clear() {
                break;
            }
            let before = self.calls;
            let (answer, _) = self.planned_under(statement, &asked).await?;
            self.questions += self.calls - before;
            if best.as_ref().is_none_or(|best| answer.cost < best.cost) {
                best = Some(answer);
            }
            let lucky = self.lucky.get(&statement);
            if lucky.is_none_or(|lucky| lucky.is_disjoint(&asked)) {
                break;
            }
        }
        Ok(best.unwrap_or_else(|| self.as_it_is(statement)))
    }

    fn questions(&self) -> usize {
        self.questions
    }
}
