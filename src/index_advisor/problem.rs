//! What is to be solved once candidates and their sizes are known: which statements each could serve, what it costs, and which others are
//! made of it.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;

use super::advice::Wanted;
use super::built;
use super::candidate::{Candidate, IndexKey};
use super::ready::Ready;
use super::selection::{Estimate, Problem};
use super::upkeep::{self, Writes};
use super::what_if::Planned;
use super::workload::WorkloadStatement;
use crate::limits;

impl Ready {
    fn counted_size(&self, one: usize, hypothetical: f64) -> f64 {
        let candidate = &self.candidates[one];
        let table = self.tables.get(&candidate.schema, &candidate.table);
        table.map_or(hypothetical, |table| {
            built::counted(candidate, table, hypothetical)
        })
    }

    /// Every statement of the workload, with its plan where it has one.
    fn with_plans(&self) -> impl Iterator<Item = (&WorkloadStatement, Option<&Planned>)> {
        let planned: BTreeMap<usize, &Planned> = self.positions.iter().copied().zip(&self.planned).collect();
        let statements = self.statements.iter().map(|one| &one.statement).enumerate();
        statements.map(move |(position, statement)| (statement, planned.get(&position).copied()))
    }

    /// Indexes of these sizes may be made, as HypoPG told them; so much was written to each table.
    pub(super) fn problem(
        &self,
        sizes: &[Option<f64>],
        wanted: Wanted<'_>,
        counted: &BTreeMap<u32, Writes>,
    ) -> Problem {
        let count = self.candidates.len();
        let budget_bytes = wanted.budget_bytes.unwrap_or(f64::INFINITY);
        // without a budget a size that nobody knows does not matter
        let unknown = if budget_bytes.is_finite() {
            f64::INFINITY
        } else {
            0.0
        };
        let size = |one: usize| match self.estimated_sizes.get(&one) {
            Some(size) => size.unwrap_or(unknown),
            None => sizes[one].map_or(f64::INFINITY, |size| self.counted_size(one, size)),
        };
        let sizes: Vec<f64> = (0..count).map(size).collect();
        // whoever gives a budget says what a byte is worth
        let pays = |one: usize| wanted.budget_bytes.is_some() || !self.is_too_wide(one, sizes[one]);
        let fits = |one: &usize| sizes[*one].is_finite() && sizes[*one] <= budget_bytes && pays(*one);
        let relevant = self.relevant.iter().map(|numbers| {
            let mut set = FixedBitSet::with_capacity(count);
            numbers
                .iter()
                .copied()
                .filter(fits)
                .for_each(|one| set.insert(one));
            set
        });
        let relevant: Vec<FixedBitSet> = relevant.collect();
        let estimates = self.estimates.iter().filter(|(_, one, _)| fits(one));
        let costs: Vec<f64> = self.planned.iter().map(Planned::cost).collect();
        let useful = self.useful(&relevant, fits);
        let skewed = self.skewed(&relevant, &useful, &sizes);
        Problem {
            weights: (0..costs.len())
                .map(|number| self.weight(number, costs[number]))
                .collect(),
            costs,
            useful,
            relevant,
            groups: self.numbered(|candidate| candidate.keys.first().map(|key| key.key.clone())),
            widths: self
                .candidates
                .iter()
                .map(|candidate| candidate.keys.len())
                .collect(),
            carried: self.candidates.iter().map(|one| one.include.len()).collect(),
            narrower: self.narrower(fits),
            turned: self.others(|one| self.turned(one), fits),
            siblings: self.siblings(fits),
            rebuilds: self.rebuilds(),
            tables: self.numbered(|_| ()),
            parts: self.parts(),
            skewed,
            upkeep: upkeep::of(
                &self.candidates,
                &self.keys_per_row,
                &self.shares(),
                &self.tables,
                self.with_plans(),
                counted,
            ),
            estimates: estimates
                .map(|(statement, candidate, cost)| Estimate {
                    statement: *statement,
                    candidate: *candidate,
                    cost: *cost,
                    scans: self
                        .replaced
                        .get(&(*statement, *candidate))
                        .cloned()
                        .unwrap_or_default(),
                })
                .collect(),
            least_gain: limits::LEAST_GAIN,
            least_gain_share: match wanted.budget_bytes {
                Some(_) => limits::LEAST_GAIN_SHARE_WITHIN_A_BUDGET,
                None => limits::LEAST_GAIN_SHARE,
            },
            sizes,
            budget_bytes,
            calls: wanted.calls_per_statement * self.planned.len(),
        }
    }

    /// How much a statement counts: the more, the more it takes that its cost does not tell.
    fn weight(&self, number: usize, cost: f64) -> f64 {
        let unseen = self.unseen_costs.get(&number).copied().unwrap_or(0.0);
        self.statements[self.positions[number]].statement.weight * (1.0 + unseen / cost.max(1.0))
    }

    /// For each candidate another one that is made of it, if that is a candidate, too.
    fn others(
        &self,
        made: impl Fn(&Candidate) -> Option<Candidate>,
        fits: impl Fn(&usize) -> bool,
    ) -> Vec<Option<usize>> {
        let other = |one: &Candidate| self.known.get(&made(one)?).copied().filter(&fits);
        self.candidates.iter().map(other).collect()
    }

    /// Of each candidate the widest that does without the last of what it holds: what lies between may be nobody's candidate.
    fn narrower(&self, fits: impl Fn(&usize) -> bool) -> Vec<Option<usize>> {
        let less = |one: &Candidate| one.narrower(&self.ordering);
        let other = |one: &Candidate| {
            std::iter::successors(less(one), less).find_map(|one| self.known.get(&one).copied().filter(&fits))
        };
        self.candidates.iter().map(other).collect()
    }

    /// Of each candidate those with the same keys in other orders.
    fn siblings(&self, fits: impl Fn(&usize) -> bool) -> Vec<Vec<usize>> {
        let sorted = |candidate: &Candidate| {
            let mut same = candidate.clone();
            same.keys.sort_by(|a, b| a.key.cmp(&b.key));
            same
        };
        let mut alike: BTreeMap<Candidate, Vec<usize>> = BTreeMap::new();
        for (number, candidate) in self
            .candidates
            .iter()
            .enumerate()
            .filter(|(number, _)| fits(number))
        {
            alike.entry(sorted(candidate)).or_default().push(number);
        }
        let others = |(number, candidate): (usize, &Candidate)| {
            let alike = alike.get(&sorted(candidate)).into_iter().flatten();
            alike.copied().filter(|other| *other != number).collect()
        };
        self.candidates.iter().enumerate().map(others).collect()
    }

    /// The same with the keys that have most values first, if all are searched for one value.
    fn turned(&self, candidate: &Candidate) -> Option<Candidate> {
        let table = self.tables.get(&candidate.schema, &candidate.table)?;
        let is_point = |key: &IndexKey| {
            let key = (candidate.schema.clone(), candidate.table.clone(), key.key.clone());
            self.points.contains(&key) && !self.ordering.contains(&key)
        };
        let mut turned = candidate.clone();
        // ties stay in their order
        turned
            .keys
            .sort_by(|a, b| table.values_of(&b.key).total_cmp(&table.values_of(&a.key)));
        (turned != *candidate && candidate.keys.iter().all(is_point)).then_some(turned)
    }

    /// What each statement asks for, and what others ask for that begins with the same key.
    fn useful(&self, relevant: &[FixedBitSet], fits: impl Fn(&usize) -> bool) -> Vec<FixedBitSet> {
        let groups = self.numbered(|candidate| candidate.keys.first().map(|key| key.key.clone()));
        let wider = |own: &FixedBitSet| {
            let leads: BTreeSet<usize> = own.ones().map(|one| groups[one]).collect();
            let mut wide = own.clone();
            wide.extend((0..groups.len()).filter(|one| leads.contains(&groups[*one]) && fits(one)));
            wide
        };
        relevant.iter().map(wider).collect()
    }

    /// The same number for candidates of one table that have something in common.
    fn numbered<T: Ord>(&self, common: impl Fn(&Candidate) -> T) -> Vec<usize> {
        let mut numbers = BTreeMap::new();
        let number = |candidate: &Candidate| {
            let next = numbers.len();
            let of = (
                candidate.schema.clone(),
                candidate.table.clone(),
                common(candidate),
            );
            *numbers.entry(of).or_insert(next)
        };
        self.candidates.iter().map(number).collect()
    }
}
