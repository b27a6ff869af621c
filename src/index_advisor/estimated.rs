//! Indexes that no planner can price before they exist: GIN and GiST, which HypoPG does not know. What they are worth is
//! worked out from what the planner says of the rows, and told as *estimated*.

mod priced;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use self::priced::{checked, searched};
use self::priced::{joined, nearest_first};
use super::begins;
use super::candidate::Candidate;
use super::clauses::{RelationUse, Searches};
use super::operator_class::{Classes, Found};
use super::tables::Table;
use crate::model::plan::PlanTree;

/// An index of which the worth for one statement is estimated.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// The index.
    pub candidate: Candidate,
    /// About so many bytes.
    pub size_bytes: Option<f64>,
    /// Whether it needs the extension pg_trgm.
    pub needs_trigrams: bool,
    /// What would do the same for less, if that were so which nobody knows.
    pub caveat: Option<String>,
    /// What it is worth where each relation is read, by its alias: the table itself, or partitions of it, some of them twice.
    pub worth: BTreeMap<String, Worth>,
}

/// What an index is worth where one relation is read, in the planner's units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Worth {
    /// What reading it costs now.
    pub now: f64,
    /// What of that is saved.
    pub saved: f64,
    /// What it takes now that the planner does not count.
    pub unseen: f64,
}

impl Estimate {
    /// In all relations together.
    fn worth(&self) -> Worth {
        self.worth.values().fold(Worth::default(), |sum, one| Worth {
            now: sum.now + one.now,
            saved: sum.saved + one.saved,
            unseen: sum.unseen + one.unseen,
        })
    }

    /// What the statement should cost with it, in the planner's units.
    pub fn cost_after(&self, tree: &PlanTree) -> f64 {
        (tree.total_cost() - self.worth().saved).max(0.0)
    }

    /// What the statement takes now, where the index would be read, that the planner does not count.
    pub fn unseen(&self) -> f64 {
        self.worth().unseen
    }
}

/// An index of a partitioned table is one for all of its partitions: what it saves in each is saved together. What saves little
/// then is left out.
pub fn together(estimates: Vec<Estimate>) -> Vec<Estimate> {
    let mut all: Vec<Estimate> = Vec::new();
    for estimate in estimates {
        match all.iter_mut().find(|one| one.candidate == estimate.candidate) {
            Some(known) => known.worth.extend(estimate.worth),
            None => all.push(estimate),
        }
    }
    all.retain(|one| {
        let worth = one.worth();
        worth.saved > 0.0 && worth.saved >= LEAST_SAVED * worth.now
    });
    all
}

/// What is saved must be at least this part of what the scans cost now: it is worked out, not proven.
const LEAST_SAVED: f64 = 0.25;

/// Which of these kinds are wanted.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Methods {
    pub gin: bool,
    pub gist: bool,
}

impl Methods {
    fn want(self, method: &str) -> bool {
        match method {
            "gin" => self.gin,
            _ => self.gist,
        }
    }
}

/// What such an index would be worth for one place of a plan, if it could answer what is asked there. Those of all places are put
/// [`together`].
pub fn estimate(
    tree: &PlanTree,
    asked: &RelationUse,
    table: &Table,
    trigram_class: &str,
    methods: Methods,
) -> Option<Estimate> {
    let classes = Classes { table, trigram_class };
    let wanted = |found: &Found| methods.want(found.method);
    let best = |searched: &BTreeSet<Searches>| classes.of_all(searched).into_iter().find(wanted);
    let (found, worth) = if let Some(found) = best(&checked(tree, asked, table).searched) {
        let worth = searched(tree, asked, table, &found.answered);
        (found, worth)
    } else if let Some(found) = best(&asked.matched) {
        (found, joined(tree, asked, table))
    } else if !asked.is_filtered() {
        let found = classes.nearest(asked.nearest.first()?)?;
        (Some(found).filter(wanted)?, nearest_first(tree, asked, table))
    } else {
        return None;
    };
    let worth = worth?;
    let mut bytes = Some(0.0);
    for key in &found.keys {
        // measured on thirteen indexes that were built: bytes for each byte of text were 1.5 to 3.3 of trigrams (random letters
        // take most), 0.2 to 2.1 of words, arrays and jsonb, 2 to 4 of GiST and 7 of trigrams in it
        let factor = match (found.method, key.is_trigram) {
            ("gin", true) => 1.8,
            ("gin", false) => 1.0,
            (_, true) => 7.0,
            (_, false) => 2.5,
        };
        let each = table.width_of(&key.key.key).map(|width| width * factor + 4.0);
        bytes = bytes.zip(each).map(|(bytes, each)| bytes + each * table.rows);
    }
    Some(Estimate {
        needs_trigrams: found.keys.iter().any(|key| key.is_trigram),
        candidate: Candidate {
            schema: table.name.schema.clone(),
            table: table.name.name.clone(),
            method: found.method,
            keys: found.keys.into_iter().map(|key| key.key).collect(),
            include: Vec::new(),
            predicate: None,
        },
        size_bytes: bytes,
        caveat: begins::instead(asked, table),
        worth: [(asked.alias.clone(), worth)].into(),
    })
}

#[cfg(test)]
mod tests;
