//! What is estimated of the indexes that no planner can price: taken in with each plan, and taken back where there can be no such
//! index.

use std::collections::BTreeSet;

use super::candidate::Candidate;
use super::estimated::{Estimate, together};
use super::ready::Ready;
use super::selection::about;
use crate::limits;
use crate::model::plan::PlanTree;
use crate::postgres::{Plan, PostgresError};

impl Ready {
    /// What was estimated for all places of one statement's plan; an index that is there answers some of it already.
    pub(super) fn take_estimates(&mut self, statement: usize, tree: &PlanTree, estimates: Vec<Estimate>) {
        for estimate in together(estimates) {
            *self.unseen_costs.entry(statement).or_default() += estimate.unseen();
            let cost_after = estimate.cost_after(tree);
            let reckoned = estimate.worth.iter().map(|(alias, worth)| (alias, worth.now));
            let replaced = about(tree, reckoned);
            let candidate = estimate.candidate;
            let table = self.tables.get(&candidate.schema, &candidate.table);
            if table.is_some_and(|table| table.served_by(&candidate).is_some()) {
                continue;
            }
            let is_b_tree = candidate.method == "btree";
            let one = self.number_of(candidate);
            if let Some(caveat) = estimate.caveat {
                self.remarks.caveats.insert((statement, one), caveat);
            }
            // of b-trees HypoPG knows all but their worth for this statement
            if is_b_tree {
                self.remarks.begun.insert((statement, one));
            } else {
                self.estimated_sizes.insert(one, estimate.size_bytes);
            }
            self.estimates.push((statement, one, cost_after));
            self.replaced.insert((statement, one), replaced);
        }
    }

    /// Takes back what was estimated of expressions that PostgreSQL would not index because they are not immutable: HypoPG looks
    /// at that, though only for the kinds that it knows, so that it is asked for a b-tree on the same. What it is not asked about
    /// before that is to end is taken back, too.
    pub(super) async fn forget_mutable_expressions(
        &mut self,
        plan: &Plan,
        is_over: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), PostgresError> {
        let mut refused = BTreeSet::new();
        let mut mutable = BTreeSet::new();
        let mut there = 0;
        for one in self.estimated_sizes.keys().copied().collect::<Vec<_>>() {
            let candidate = &self.candidates[one];
            if !candidate.has_expressions() {
                continue;
            }
            if is_over() {
                refused.insert(one);
                continue;
            }
            let mut plain = Candidate {
                method: "btree",
                ..candidate.clone()
            };
            plain.keys.iter_mut().for_each(|key| key.operator_class = None);
            // without an OID left none would be made, as if none could be
            if there == limits::HYPOTHETICAL_INDEXES {
                plan.reset_hypothetical().await?;
                there = 0;
            }
            there += 1;
            let definition = [plain.hypothetical()];
            let made = plan.create_hypothetical(&definition).await?;
            if made.iter().any(Option::is_none) {
                refused.insert(one);
                mutable.extend(plan.is_mutable(&definition[0]).then_some(one));
            }
        }
        if !self.estimated_sizes.is_empty() {
            plan.reset_hypothetical().await?;
        }
        let lost = self.estimates.iter().filter(|(_, one, _)| mutable.contains(one));
        let lost: Vec<(usize, usize)> = lost.map(|(statement, one, _)| (*statement, *one)).collect();
        for (statement, one) in lost {
            self.note_mutable_for(statement, one);
        }
        self.estimates.retain(|(_, one, _)| !refused.contains(one));
        Ok(())
    }
}
