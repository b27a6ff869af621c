//! Indexes that are there for nothing once the advised ones are: by their definitions, and by the planner, which plans with the
//! whole set in place and them hidden.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;

use super::advice::IndexAdvice;
use super::candidate::Candidate;
use super::confirmed::Confirmed;
use super::ready::Ready;
use super::rehearsal::Rehearsing;
use super::tables::{ExistingIndex, Table, TableName};
use super::trials::Trial;
use super::what_if::WhatIf;
use crate::model::advice::Rehearsal;
use crate::postgres::{Plan, PostgresError};

/// An index that is there, and of which an advised one answers all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// Its OID.
    pub oid: u32,
    /// Its schema and name.
    pub name: TableName,
    /// Why its drop was not rehearsed, so that its definition alone says that it is for nothing.
    pub unproven: Option<String>,
}

/// Those of a table that one candidate supersedes by their definitions.
pub(super) fn by_definition(table: &Table, candidate: &Candidate) -> Vec<Superseded> {
    let superseded = table
        .indexes
        .iter()
        .filter(|index| index.is_superseded_by(candidate));
    superseded
        .map(|index| Superseded {
            oid: index.oid,
            name: TableName {
                schema: index.schema.clone(),
                name: index.name.clone(),
            },
            unproven: Some("the planner could not be asked".to_owned()),
        })
        .collect()
}

impl Ready {
    /// The candidates that are an index that is there with something more, so that it can be dropped for them; or a part of one, which
    /// stays beside it.
    pub(super) fn rebuilds(&self) -> FixedBitSet {
        let is_rebuild = |candidate: &Candidate| {
            let table = self.tables.get(&candidate.schema, &candidate.table);
            // what the other one includes would be lost otherwise, and it would stay
            table.is_some_and(|table| {
                let mut indexes = table.indexes.iter();
                indexes.any(|index| index.is_superseded_by(candidate) || index.has_part(candidate))
            })
        };
        let candidates = self.candidates.iter().enumerate();
        let mut rebuilds = FixedBitSet::with_capacity(self.candidates.len());
        rebuilds.extend(
            candidates
                .filter(|(_, one)| is_rebuild(one))
                .map(|(number, _)| number),
        );
        rebuilds
    }
}

impl IndexAdvice {
    /// Takes in what came of rehearsing the drops: what a statement needs is not superseded.
    pub(super) fn take_rehearsals(&mut self, rehearsed: &BTreeMap<u32, Rehearsal>) {
        self.supersedes.retain_mut(|one| match rehearsed.get(&one.oid) {
            Some(Rehearsal::Needed { .. }) => false,
            Some(Rehearsal::Unknown(why)) => {
                one.unproven = Some(why.clone());
                true
            }
            Some(Rehearsal::LeftOut) => {
                one.unproven = Some("the time was over".to_owned());
                true
            }
            Some(Rehearsal::Untouched { .. } | Rehearsal::Spared { .. }) => {
                one.unproven = None;
                true
            }
            None => true,
        });
    }
}

/// What the planner makes of dropping all that a set supersedes, one after the other, by OID. `set` holds what can be proven, and
/// `most_calls` is how often the planner may be asked in all.
///
/// # Errors
/// If the session is lost, and no other is to be had.
pub(super) async fn rehearse_superseded(
    plan: &Plan,
    what_if: &mut WhatIf<'_>,
    ready: &Ready,
    set: &FixedBitSet,
    confirmed: &Confirmed,
    most_calls: usize,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<BTreeMap<u32, Rehearsal>, PostgresError> {
    let mut superseded: BTreeMap<u32, &ExistingIndex> = BTreeMap::new();
    for candidate in set.ones().map(|one| &ready.candidates[one]) {
        if let Some(table) = ready.tables.get(&candidate.schema, &candidate.table) {
            let of_table = table.indexes.iter();
            let ours = of_table.filter(|index| index.is_superseded_by(candidate));
            superseded.extend(ours.map(|index| (index.oid, index)));
        }
    }
    if superseded.is_empty() {
        return Ok(BTreeMap::new());
    }
    if confirmed.missing() > 0 {
        let why = "it was stopped before every statement was planned with the whole set in place";
        let unknown = |oid: &u32| (*oid, Rehearsal::Unknown(why.to_owned()));
        return Ok(superseded.keys().map(unknown).collect());
    }
    let outcomes = confirmed.outcomes.iter().enumerate();
    let trials =
        outcomes.filter_map(|(statement, one)| Some(Trial::in_general(statement, one.tree.clone()?)));
    let told = ready.positions.iter().map(|one| &ready.statements[*one]);
    let mut rehearsing = Rehearsing {
        plan,
        what_if,
        planned: &ready.planned,
        statement_ids: told.map(|one| one.statement_id.as_str()).collect(),
        set,
        trials: trials.collect(),
        gone: Vec::new(),
        most_calls,
        stop,
    };
    let mut rehearsed = BTreeMap::new();
    for (oid, index) in superseded {
        rehearsed.insert(oid, rehearsing.without(&index.in_plans(), None).await?);
    }
    Ok(rehearsed)
}
