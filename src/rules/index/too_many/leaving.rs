//! Which indexes of a table may go, as other rules tell of the same look.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::model::catalog::IndexFacts;
use crate::rules::index::duplicate::Duplicate;
use crate::rules::index::redundant_prefix::RedundantPrefix;
use crate::rules::index::unused::Unused;
use crate::rules::{Place, Rule};

/// What the rules say that name indexes which may go, with their default thresholds.
#[derive(Default)]
pub(super) struct Leaving {
    /// The first rule that names an index, by its schema and name.
    by: HashMap<Vec<String>, &'static str>,
    /// Rules that cannot tell now, and why.
    untold: Vec<String>,
}

/// Names in a sentence; the evidence has all.
const NAMED: usize = 10;

impl Leaving {
    pub(super) fn of(place: &Place<'_>) -> Self {
        let mut leaving = Self::default();
        // the surest first
        leaving.add::<Duplicate>(place);
        leaving.add::<RedundantPrefix>(place);
        leaving.add::<Unused>(place);
        leaving
    }

    fn add<R: Rule>(&mut self, place: &Place<'_>) {
        let found = match R::default().judge(place) {
            Ok(found) => found,
            Err(unknown) => {
                self.untold.push(format!("{} ({})", R::ID, unknown.reason));
                return;
            }
        };
        let claimed = found.claims.into_iter().map(|claim| claim.subject);
        for subject in claimed.chain(found.beyond) {
            self.by.entry(subject).or_insert(R::ID);
        }
        let untold = found.untold.or(found.absence_is_no_proof);
        self.untold.extend(untold.map(|why| format!("{} ({why})", R::ID)));
    }

    /// Those of some indexes that may go, with the rule that says so.
    fn among<'a>(&self, indexes: &[&'a IndexFacts]) -> Vec<(&'a IndexFacts, &'static str)> {
        let named = |facts: &&'a IndexFacts| {
            let subject = [facts.schema.clone(), facts.name.clone()];
            Some((*facts, *self.by.get(&subject[..])?))
        };
        indexes.iter().filter_map(named).collect()
    }

    /// The same as evidence.
    pub(super) fn evidence(&self, indexes: &[&IndexFacts]) -> Value {
        let named = self.among(indexes).into_iter();
        named
            .map(|(facts, rule)| json!({ "name": facts.name, "rule": rule }))
            .collect()
    }

    /// What to do with them. It is not SQL: each of these rules gives its own, with what it has checked.
    pub(super) fn steps(&self, indexes: &[&IndexFacts]) -> Vec<String> {
        let all = self.among(indexes);
        let named = all.iter().take(NAMED);
        let named: Vec<String> = named
            .map(|(facts, rule)| format!("{} ({rule})", facts.name))
            .collect();
        let more = match all.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let first = match named.is_empty() {
            true => "No other rule names one of them that may go: see which hardly earn their price (index.rarely_used), and \
                     whether one can serve the statements of two. Those that back a constraint stay."
                .to_owned(),
            false => format!(
                "By {}, {} and {} with their default settings these may go, one at a time, each as the rule says that names it: \
                 {}{more}. Then see which of the others hardly earn their price (index.rarely_used).",
                Duplicate::ID,
                RedundantPrefix::ID,
                Unused::ID,
                named.join(", ")
            ),
        };
        let untold = (!self.untold.is_empty())
            .then(|| format!("Not all can be told now by {}.", self.untold.join("; ")));
        std::iter::once(first).chain(untold).collect()
    }
}
