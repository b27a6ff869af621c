//! What the planner answered, kept for statements that there is no time to plan once more under the whole set.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;

use super::selection::{Answer, Scans};

/// All answers, by statement.
#[derive(Debug, Default)]
pub struct Answers {
    of: BTreeMap<usize, Vec<Kept>>,
}

#[derive(Debug)]
struct Kept {
    available: FixedBitSet,
    answer: Answer,
}

impl Answers {
    /// Keeps what the planner answered with these candidates present.
    pub(super) fn add(&mut self, statement: usize, available: &FixedBitSet, answer: &Answer) {
        let kept = Kept {
            available: available.clone(),
            answer: answer.clone(),
        };
        self.of.entry(statement).or_default().push(kept);
    }

    /// Adds those of another part of the work.
    pub(super) fn extend(&mut self, others: Self) {
        for (statement, kept) in others.of {
            self.of.entry(statement).or_default().extend(kept);
        }
    }

    /// All answers about a statement.
    pub(super) fn of(&self, statement: usize) -> impl Iterator<Item = &Answer> {
        let kept = self.of.get(&statement).into_iter().flatten();
        kept.map(|kept| &kept.answer)
    }

    /// What a statement costs under a set by these answers: the planner's own for this set, where it was asked about that or
    /// about more and took nothing else; if not, the cheapest plan that it named and that is possible with the set. Only those
    /// of the set that are useful to the statement matter.
    pub(super) fn under(
        &self,
        statement: usize,
        set: &FixedBitSet,
        useful: &FixedBitSet,
        cost_as_it_is: f64,
    ) -> Answer {
        let mut wanted = set.clone();
        wanted.intersect_with(useful);
        let kept = self.of.get(&statement).map_or(&[][..], Vec::as_slice);
        let possible = || kept.iter().filter(|kept| kept.answer.used.is_subset(set));
        let told = possible().find(|kept| wanted.is_subset(&kept.available));
        let cheapest = || {
            let than_as_it_is = possible().filter(|kept| kept.answer.cost < cost_as_it_is);
            than_as_it_is.min_by(|a, b| a.answer.cost.total_cmp(&b.answer.cost))
        };
        let mut answer = told.or_else(cheapest).map_or_else(
            || Answer {
                cost: cost_as_it_is,
                used: FixedBitSet::new(),
                scans: Scans::new(),
            },
            |kept| kept.answer.clone(),
        );
        // candidates came since
        answer.used.grow(set.len());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(members: &[usize]) -> FixedBitSet {
        let mut set = FixedBitSet::with_capacity(4);
        set.extend(members.iter().copied());
        set
    }

    #[test]
    fn the_planner_s_word_for_the_set_comes_before_the_cheapest_that_is_possible() {
        let mut answers = Answers::default();
        let mut add = |available: &[usize], used: &[usize], cost: f64| {
            let answer = Answer {
                cost,
                used: set(used),
                scans: Scans::new(),
            };
            answers.add(7, &set(available), &answer);
        };
        add(&[0, 1, 2], &[0, 1], 10.0);
        add(&[0, 2], &[0], 40.0);
        add(&[1], &[1], 60.0);
        let told = |members: &[usize], useful: &[usize]| {
            let answer = answers.under(7, &set(members), &set(useful), 100.0);
            (answer.cost, answer.used.ones().collect::<Vec<_>>())
        };
        let all = [0, 1, 2, 3];
        assert_eq!(told(&[0, 1], &all), (10.0, vec![0, 1]), "of more");
        assert_eq!(told(&[0, 2], &all), (40.0, vec![0]), "of just this");
        assert_eq!(
            told(&[0, 3], &[0, 1, 2]),
            (40.0, vec![0]),
            "the other is of no use to it"
        );
        assert_eq!(
            told(&[1, 3], &all),
            (60.0, vec![1]),
            "nobody asked, but that is possible"
        );
        assert_eq!(told(&[3], &all), (100.0, vec![]));
        assert_eq!(answers.under(8, &set(&[0]), &set(&all), 5.0).cost, 5.0);
    }
}
