//! What the planner is asked while the best set is not known: with ever less on the table, with parts of a set taken away,
//! with room for more.

use fixedbitset::FixedBitSet;

use super::{Fact, Planner, Selection};
use crate::postgres::PostgresError;

/// Statements that are asked what they would make of room that is freed.
const LOSERS: usize = 12;

impl<P: Planner> Selection<'_, P> {
    /// Asks with ever less on the table.
    pub(super) async fn explore(&mut self, statement: usize) -> Result<(), PostgresError> {
        let widest = self.problem.widths.iter().copied().max().unwrap_or(1);
        let budget = self.problem.budget_bytes;
        let mut shelves: Vec<(f64, usize)> = vec![(budget, widest)];
        shelves.extend((1..widest).rev().map(|width| (budget, width)));
        if budget.is_finite() {
            shelves.extend([2.0, 4.0, 8.0].map(|part| (budget / part, widest)));
            shelves.extend([4.0].map(|part| (budget / part, 1)));
        }
        for (bytes, width) in shelves {
            let mut set = self.problem.relevant[statement].clone();
            for candidate in self.problem.relevant[statement].ones() {
                let fits = self.problem.sizes[candidate] <= bytes && self.problem.widths[candidate] <= width;
                set.set(candidate, fits);
            }
            self.ask(statement, &set).await?;
        }
        self.take_away(statement).await
    }

    /// What the planner takes when the largest of what it took is not there.
    async fn take_away(&mut self, statement: usize) -> Result<(), PostgresError> {
        let mut set = self.problem.relevant[statement].clone();
        for _ in 0..3 {
            let known = &self.known[statement];
            let fact = known
                .facts
                .iter()
                .find(|fact| fact.is_possible(&set) && set.is_subset(&fact.available));
            let size = |one: &usize| self.problem.sizes[*one];
            let largest = fact.and_then(|fact| fact.used.ones().max_by(|a, b| size(a).total_cmp(&size(b))));
            let Some(largest) = largest else { break };
            // its siblings in other orders are as large: what is asked for is another way
            for sibling in set.clone().ones() {
                if size(&sibling) >= size(&largest) {
                    set.set(sibling, false);
                }
            }
            self.ask(statement, &set).await?;
        }
        Ok(())
    }

    /// What could be added to a set, or come in place of one or two of it, in the planner's own eyes. What is worth least
    /// for its size goes first.
    pub(super) async fn probe(&mut self, set: &FixedBitSet) -> Result<(), PostgresError> {
        self.ask_what_each_is_worth(set).await?;
        let left = self.problem.budget_bytes - self.size(set);
        self.ask_those_that_lose(set, left, usize::MAX).await?;
        let total = self.total(set);
        let without = |members: &[usize]| {
            let mut rest = set.clone();
            members.iter().for_each(|member| rest.set(*member, false));
            rest
        };
        let mut members: Vec<(f64, usize)> = set
            .ones()
            .map(|member| {
                let loss = self.total(&without(&[member])) - total;
                (loss / self.problem.sizes[member].max(1.0), member)
            })
            .collect();
        members.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let members: Vec<usize> = members.into_iter().map(|(_, member)| member).collect();
        let pairs = members.windows(2).map(|pair| pair.to_vec());
        let taken_out = members.iter().map(|member| vec![*member]).chain(pairs);
        for members in taken_out.collect::<Vec<_>>() {
            let freed: f64 = members.iter().map(|member| self.problem.sizes[*member]).sum();
            self.ask_those_that_lose(&without(&members), left + freed, LOSERS)
                .await?;
        }
        Ok(())
    }

    /// What each statement costs without each of the indexes that it takes: often another one does nearly as well.
    async fn ask_what_each_is_worth(&mut self, set: &FixedBitSet) -> Result<(), PostgresError> {
        for statement in self.by_weight() {
            let mut available = set.clone();
            available.intersect_with(&self.problem.useful[statement]);
            for one in self.known[statement].uses_under(&available).into_iter().flatten() {
                let mut rest = available.clone();
                rest.set(one, false);
                self.ask(statement, &rest).await?;
            }
        }
        Ok(())
    }

    /// Asks the statements that lose most under a set what they would take of what fits into so many bytes more.
    async fn ask_those_that_lose(
        &mut self,
        set: &FixedBitSet,
        bytes: f64,
        count: usize,
    ) -> Result<(), PostgresError> {
        for statement in self.by_regret(set).into_iter().take(count) {
            self.ask_with_room(statement, set, bytes).await?;
        }
        Ok(())
    }

    /// Where nothing that is known promises more: other ways to the same rows. First without all that begins like what the
    /// planner takes now, then with parts of what there is.
    pub(super) async fn broaden(&mut self, set: &FixedBitSet, round: usize) -> Result<(), PostgresError> {
        for statement in self.by_weight() {
            let relevant = self.problem.relevant[statement].clone();
            if round > 0 {
                // every other group, other ones each time
                let mut part = relevant.clone();
                for one in relevant.ones() {
                    let number = self.problem.groups[one].wrapping_mul(2 * round + 1) >> (round / 2);
                    part.set(one, number % 2 == round % 2 || set.contains(one));
                }
                self.ask(statement, &part).await?;
                continue;
            }
            let facts = &self.known[statement].facts;
            let cheapest = |facts: &mut dyn Iterator<Item = &Fact>| {
                facts
                    .min_by(|a, b| a.cost.total_cmp(&b.cost))
                    .map(|fact| fact.uses.clone())
            };
            let now = cheapest(&mut facts.iter().filter(|fact| fact.is_possible(set)));
            let ever = cheapest(&mut facts.iter());
            let mut groups: Vec<usize> = now
                .into_iter()
                .chain(ever)
                .flatten()
                .map(|one| self.problem.groups[one])
                .collect();
            groups.sort_unstable();
            groups.dedup();
            for group in groups {
                let mut others = relevant.clone();
                for one in relevant.ones() {
                    others.set(one, self.problem.groups[one] != group);
                }
                self.ask(statement, &others).await?;
            }
        }
        Ok(())
    }

    /// The statements that could be cheaper than they are under a set, those that lose most first.
    fn by_regret(&self, set: &FixedBitSet) -> Vec<usize> {
        let regret = |statement: usize| {
            let known = &self.known[statement];
            let best = known
                .facts
                .iter()
                .map(|fact| fact.cost)
                .fold(f64::INFINITY, f64::min);
            self.problem.weights[statement] * (known.estimate(set) - best)
        };
        let mut regrets: Vec<(f64, usize)> = (0..self.known.len()).map(|one| (regret(one), one)).collect();
        regrets.retain(|(regret, _)| *regret > 0.0);
        regrets.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        regrets.into_iter().map(|(_, statement)| statement).collect()
    }

    /// Asks what the planner would take if, beside a set, everything stood on the table that fits into so many bytes: what
    /// it takes must fit together, too.
    async fn ask_with_room(
        &mut self,
        statement: usize,
        set: &FixedBitSet,
        bytes: f64,
    ) -> Result<(), PostgresError> {
        let mut richer = set.clone();
        let fitting = |one: &usize| self.problem.sizes[*one] <= bytes;
        richer.extend(self.problem.relevant[statement].ones().filter(fitting));
        for _ in 0..4 {
            self.ask(statement, &richer).await?;
            let mut available = richer.clone();
            available.intersect_with(&self.problem.useful[statement]);
            let Some(uses) = self.known[statement].uses_under(&available) else {
                break;
            };
            let added: Vec<usize> = uses.into_iter().filter(|one| !set.contains(*one)).collect();
            let size = |one: &usize| self.problem.sizes[*one];
            if added.iter().map(size).sum::<f64>() <= bytes {
                break;
            }
            // the largest is too large for the others: what is as large goes with it
            let largest = added.iter().map(size).fold(0.0, f64::max);
            for one in richer.clone().ones() {
                let stays = set.contains(one) || self.problem.sizes[one] < largest;
                richer.set(one, stays);
            }
        }
        Ok(())
    }
}
