//! Members of a set that only plans for values take, and gain nothing by. Of indexes that do the same the planner takes any; where a
//! statement is priced by its values each question is several, so that the search may be over before it has asked what the statement
//! costs without one of them.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;

use super::confirmed::{Confirmed, Outcome};
use super::ready::Ready;
use super::selection::Problem;
use super::what_if::WhatIf;
use crate::postgres::PostgresError;

/// Takes them out of a set: all together; or else one by one; each as far as no more than `most_calls` are asked in all. What the
/// statements that took them cost without them is confirmed then.
///
/// # Errors
/// If the session is lost, and no other is to be had.
pub(super) async fn take_out_needless(
    what_if: &mut WhatIf<'_>,
    ready: &Ready,
    problem: &Problem,
    set: &mut FixedBitSet,
    confirmed: &mut Confirmed,
    most_calls: usize,
    is_over: &(dyn Fn() -> bool + Sync),
) -> Result<(), PostgresError> {
    let mut suspects = confirmed.taken_for_values_alone(set);
    // the planner's plans do not tell all that these are worth
    suspects.retain(|one| {
        !problem
            .estimates
            .iter()
            .any(|estimate| estimate.candidate == *one)
    });
    let mut tries = vec![suspects.clone()];
    if suspects.len() > 1 {
        tries.extend(suspects.iter().map(|one| vec![*one]));
    }
    for members in tries {
        if members.is_empty() {
            break;
        }
        let questions = confirmed.questions_without(&members, &|one| what_if.values_of(one).len());
        if what_if.calls + questions > most_calls {
            continue;
        }
        if is_over() {
            break;
        }
        let mut rest = set.clone();
        members.iter().for_each(|one| rest.set(*one, false));
        let outcomes = without(what_if, ready, problem, &rest, &members, confirmed, is_over).await?;
        let Some(outcomes) = outcomes else {
            continue;
        };
        // another session has other names
        confirmed.names.extend(what_if.names());
        for (statement, outcome) in outcomes {
            confirmed.outcomes[statement] = outcome;
        }
        *set = rest;
        confirmed.forget_luck(&|statement| what_if.without_luck(statement, set).is_some());
        if members.len() == suspects.len() {
            break;
        }
    }
    Ok(())
}

/// What the statements that took these members cost under the rest of the set; `None` if they are worth their place to one of them,
/// or if one of them cannot be planned just now, or is not to be.
async fn without(
    what_if: &mut WhatIf<'_>,
    ready: &Ready,
    problem: &Problem,
    rest: &FixedBitSet,
    members: &[usize],
    confirmed: &Confirmed,
    is_over: &(dyn Fn() -> bool + Sync),
) -> Result<Option<BTreeMap<usize, Outcome>>, PostgresError> {
    let mut outcomes = BTreeMap::new();
    for statement in confirmed.takers(members) {
        let with = &confirmed.outcomes[statement];
        if with.is_without_luck || is_over() {
            return Ok(None);
        }
        let own = ready.shown(rest, &problem.useful[statement]);
        let (answer, tree) = what_if.planned_under(statement, &own).await?;
        if what_if.unplannable().contains(&statement) {
            return Ok(None);
        }
        let gain = answer.cost - with.answer.cost;
        if gain >= problem.least_gain.max(problem.least_gain_share * answer.cost) {
            return Ok(None);
        }
        let outcome = Outcome {
            answer,
            tree: Some(tree),
            is_without_luck: false,
        };
        outcomes.insert(statement, outcome);
    }
    Ok(Some(outcomes))
}

impl Confirmed {
    /// Of a set those that some statement takes for values, and none in its plan for parameters in general.
    fn taken_for_values_alone(&self, set: &FixedBitSet) -> Vec<usize> {
        let mut read = FixedBitSet::with_capacity(set.len());
        let mut taken = read.clone();
        for Outcome { answer, tree, .. } in &self.outcomes {
            taken.union_with(&answer.used);
            match tree {
                Some(tree) => {
                    let nodes = tree.nodes().into_iter();
                    let names = nodes.filter_map(|node| node.index.as_deref());
                    read.extend(names.filter_map(|name| self.names.get(name).copied()));
                }
                None => read.union_with(&answer.used),
            }
        }
        taken.difference_with(&read);
        taken.ones().filter(|one| set.contains(*one)).collect()
    }

    /// The statements that take any of these.
    fn takers(&self, members: &[usize]) -> Vec<usize> {
        let numbered = self.outcomes.iter().enumerate();
        let takes = |one: &Outcome| members.iter().any(|member| one.answer.used.contains(*member));
        let taking = numbered.filter(|(_, one)| takes(one));
        taking.map(|(statement, _)| statement).collect()
    }

    /// How many questions it may take to learn what the takers of these cost without them: each is asked for its values, too.
    fn questions_without(&self, members: &[usize], values: &dyn Fn(usize) -> usize) -> usize {
        let takers = self.takers(members).into_iter();
        takers.map(|statement| 1 + values(statement)).sum()
    }

    /// Where nothing is left of what would serve a statement by luck alone, its plan without that is its plan.
    fn forget_luck(&mut self, is_left: &dyn Fn(usize) -> bool) {
        for (statement, outcome) in self.outcomes.iter_mut().enumerate() {
            outcome.is_without_luck &= is_left(statement);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::index_advisor::selection::{Answer, Scans};
    use crate::model::plan::PlanTree;

    #[test]
    fn what_no_plan_in_general_reads_is_suspected() {
        let outcome = |used: &[usize], read: Option<&str>| {
            let mut all = FixedBitSet::with_capacity(5);
            all.extend(used.iter().copied());
            let tree = |name: &str| {
                let scan = json!({"Node Type": "Index Scan", "Relation Name": "t", "Index Name": name, "Total Cost": 8.0});
                PlanTree::read(&json!([{ "Plan": scan }])).unwrap()
            };
            Outcome {
                answer: Answer {
                    cost: 8.0,
                    used: all,
                    scans: Scans::new(),
                },
                tree: read.map(tree),
                is_without_luck: false,
            }
        };
        let confirmed = Confirmed {
            outcomes: vec![
                outcome(&[0, 1, 2, 4], Some("zero")),
                outcome(&[1], Some("one")),
                outcome(&[3], None),
                outcome(&[], Some("t_pkey")),
            ],
            names: [
                ("zero".to_owned(), 0),
                ("one".to_owned(), 1),
                ("two".to_owned(), 2),
            ]
            .into(),
        };
        let mut set = FixedBitSet::with_capacity(5);
        set.extend([0, 1, 2, 3]);
        assert_eq!(confirmed.taken_for_values_alone(&set), [2]);
        // two statements take the second index, one of them priced by three values
        let values = |statement: usize| if statement == 0 { 3 } else { 0 };
        assert_eq!(confirmed.takers(&[1, 2]), [0, 1]);
        assert_eq!(confirmed.questions_without(&[1, 2], &values), 4 + 1);
        assert_eq!(confirmed.questions_without(&[3], &values), 1);
        assert_eq!(confirmed.questions_without(&[], &values), 0);
    }
}
