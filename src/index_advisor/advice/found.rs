//! What was found out of the chosen set beside what it is worth, told of its indexes and of the statements.

use std::collections::{BTreeMap, BTreeSet};

use super::Advice;
use crate::model::advice::{Droppable, Rehearsal, TriedValue};

/// Why an index that would be cheap for some values is not advised for a statement.
const BY_LUCK: &str = "an index in the order that is asked for would be read until the LIMIT has its rows, which is soon for common \
     values; for rare ones, or values that nobody knows, nearly all of it would be read, and the plan for parameters in general \
     does so for all of them";

/// What such an index does to a statement where it is advised for others.
const BY_LUCK_OF_OTHERS: &str = "an index that is advised for others would be read for it in its order until the LIMIT has its rows: for \
     rare values, or values that nobody knows, nearly all of it, and the plan for parameters in general does so for all of them; \
     see how it does with that index, or have it planned for its values (plan_cache_mode = force_custom_plan)";

/// What such an index does to a statement that has one of its own.
const BESIDE_LUCK_OF_OTHERS: &str = "it was planned without another index that is advised for others: in the order of that one its plan for \
     parameters in general would be read until the LIMIT has its rows, for rare values nearly all of it; planned for its values \
     (plan_cache_mode = force_custom_plan) it takes its own index where that is better";

/// The same of an index that is taken so.
const TAKEN_BESIDE_LUCK: &str =
    "a statement that an index advised for others would serve by luck alone was planned without that one";

/// What was found out under the whole set. Statements are numbers of planned ones.
pub(super) struct Found {
    /// Those that an index of the set would serve by luck alone.
    pub(super) trapped: BTreeSet<usize>,
    /// Those of them that have an index of their own beside it.
    pub(super) without_luck: BTreeSet<usize>,
    /// Those that could not be planned with it.
    pub(super) unplannable: BTreeSet<usize>,
    /// What they cost for particular values of their parameters.
    pub(super) values: BTreeMap<usize, Vec<TriedValue>>,
    /// What comes of dropping what it supersedes, by OID.
    pub(super) superseded: BTreeMap<u32, Rehearsal>,
    /// What comes of the drops that were asked about.
    pub(super) rehearsals: Vec<(Droppable, Rehearsal)>,
}

impl Found {
    /// Tells it. The planned statements are in these positions; some of them an index that was tried would have served by luck alone.
    pub(super) fn tell(self, advice: &mut Advice, positions: &[usize], by_luck: &BTreeSet<usize>) {
        for index in &mut advice.indexes {
            let notes = index.take_rehearsals(&self.superseded);
            advice.left_out.extend(notes);
        }
        advice.rehearsals = self.rehearsals;
        for (number, values) in self.values {
            advice.statements[positions[number]].values = values;
        }
        for number in by_luck.union(&self.trapped) {
            let told = &mut advice.statements[positions[*number]];
            if told.uses.is_empty() {
                let why = match self.trapped.contains(number) {
                    true => BY_LUCK_OF_OTHERS,
                    false => BY_LUCK,
                };
                add_reason(&mut told.reason, why);
            }
        }
        for number in self.without_luck {
            let position = positions[number];
            let told = &mut advice.statements[position];
            if told.uses.is_empty() {
                continue;
            }
            add_reason(&mut told.reason, BESIDE_LUCK_OF_OTHERS);
            let taken = advice
                .indexes
                .iter_mut()
                .filter(|index| index.statements.contains(&position));
            for index in taken.filter(|index| !index.confidence.reason.contains(TAKEN_BESIDE_LUCK)) {
                index.confidence.reason += "; ";
                index.confidence.reason += TAKEN_BESIDE_LUCK;
            }
        }
        for number in self.unplannable {
            let told = &mut advice.statements[positions[number]];
            told.cost_after = None;
            told.reason = Some("it could not be planned again with the indexes in place".to_owned());
        }
    }
}

/// A further reason behind those that are told.
fn add_reason(reason: &mut Option<String>, why: &str) {
    *reason = Some(match reason.take() {
        Some(known) => format!("{known}; {why}"),
        None => why.to_owned(),
    });
}

/// Where the run was stopped, that is why a statement has no index that could have one.
pub(super) fn tell_what_was_not_reached(advice: &mut Advice) {
    if advice.stopped.is_none() {
        return;
    }
    let statements = advice.statements.iter_mut();
    for told in statements.filter(|one| one.has_candidates && one.uses.is_empty()) {
        told.reason = Some("it was stopped before an index for it was found".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::super::StatementAdvice;
    use super::*;
    use crate::index_advisor::workload::WorkloadStatement;
    use crate::model::advice::Stopped;

    fn statement(uses: &[usize], reason: Option<&str>) -> StatementAdvice {
        StatementAdvice {
            cost_after: Some(1.0),
            uses: uses.to_vec(),
            has_candidates: true,
            reason: reason.map(str::to_owned),
            ..StatementAdvice::of(WorkloadStatement {
                text: "SELECT 1".to_owned(),
                ..WorkloadStatement::default()
            })
        }
    }

    #[test]
    fn what_would_only_be_luck_is_told_where_nothing_is_advised() {
        let mut advice = Advice {
            statements: vec![
                statement(&[], None),
                statement(&[0], None),
                statement(&[], Some("too dear")),
                statement(&[], None),
                statement(&[0], None),
            ],
            ..Advice::default()
        };
        let found = Found {
            trapped: [1, 3].into(),
            without_luck: [3].into(),
            unplannable: [2].into(),
            values: BTreeMap::new(),
            superseded: BTreeMap::new(),
            rehearsals: Vec::new(),
        };
        // the first one was not planned
        found.tell(&mut advice, &[1, 2, 3, 4], &[0, 2].into());
        let reasons = advice.statements.iter().map(|one| one.reason.as_deref());
        let reasons: Vec<Option<&str>> = reasons.collect();
        let luck = format!("too dear; {BY_LUCK_OF_OTHERS}");
        let lost = "it could not be planned again with the indexes in place";
        let beside = Some(BESIDE_LUCK_OF_OTHERS);
        assert_eq!(reasons, [None, None, Some(luck.as_str()), Some(lost), beside]);
        assert_eq!(advice.statements[3].cost_after, None);
    }

    #[test]
    fn a_further_reason_stands_behind_the_first() {
        let mut reason = None;
        add_reason(&mut reason, "dear");
        assert_eq!(reason.as_deref(), Some("dear"));
        add_reason(&mut reason, "late");
        assert_eq!(reason.as_deref(), Some("dear; late"));
    }

    #[test]
    fn who_has_no_index_since_the_run_was_stopped_is_told_so() {
        let statements = vec![statement(&[], Some("too dear")), statement(&[0], None)];
        let mut advice = Advice {
            statements,
            ..Advice::default()
        };
        tell_what_was_not_reached(&mut advice);
        assert_eq!(advice.statements[0].reason.as_deref(), Some("too dear"));
        advice.stopped = Some(Stopped::Time);
        tell_what_was_not_reached(&mut advice);
        let told = advice.statements[0].reason.as_deref().unwrap_or_default();
        assert!(told.starts_with("it was stopped before"), "{told}");
        assert_eq!(advice.statements[1].reason, None);
    }
}
