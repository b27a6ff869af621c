//! Indexes that are there for nothing once the advised ones are: by their definitions, and by the planner, which plans with the
//! whole set in place and them hidden.

use std::collections::{BTreeMap, BTreeSet};

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
use crate::model::plan::PlanTree;
use crate::model::remedy::{IF_NOT_THERE, Statement, qualified};
use crate::postgres::{Plan, PostgresError};

/// An index that is there, and of which an advised one answers all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// Its OID.
    pub oid: u32,
    /// Its schema and name.
    pub name: TableName,
    /// What makes it again where it was dropped.
    pub undo_sql: Option<String>,
    /// Whether a plan with the whole set in place reads it all the same.
    pub is_read: bool,
    /// Why its drop was not rehearsed, so that its definition alone says that it is for nothing.
    pub unproven: Option<String>,
}

/// Those of a table that one candidate supersedes by their definitions; of the plans with the whole set in place, some may read them.
pub(super) fn by_definition(table: &Table, candidate: &Candidate, plans: &[&PlanTree]) -> Vec<Superseded> {
    let superseded = table
        .indexes
        .iter()
        .filter(|index| index.is_superseded_by(candidate));
    let is_read = |index: &ExistingIndex| {
        let names = index.in_plans();
        let takes = |plan: &&PlanTree| names.iter().any(|one| plan.takes(&one.schema, &one.name));
        plans.iter().any(takes)
    };
    superseded
        .map(|index| Superseded {
            oid: index.oid,
            name: TableName {
                schema: index.schema.clone(),
                name: index.name.clone(),
            },
            undo_sql: made_again(index, table.is_partitioned),
            is_read: is_read(index),
            unproven: Some("the planner could not be asked".to_owned()),
        })
        .collect()
}

/// What makes an index again if it was dropped meanwhile, and else leaves it as it is.
fn made_again(index: &ExistingIndex, is_partitioned: bool) -> Option<String> {
    let definition = index.definition.clone();
    let (created, begins) = match is_partitioned {
        true => (Statement::CreateIndexOnPartitions { definition }, "CREATE INDEX"),
        false => (
            Statement::CreateIndexConcurrently { definition },
            "CREATE INDEX CONCURRENTLY",
        ),
    };
    let sql = created.sql();
    let rest = sql.strip_prefix(begins)?.strip_prefix(' ')?;
    Some(format!("{begins}{IF_NOT_THERE}{rest}"))
}

/// What several indexes of a set supersede is told of the last of them: all of them are there then.
pub(super) fn tell_once(indexes: &mut [IndexAdvice]) {
    let mut told: BTreeSet<u32> = BTreeSet::new();
    for index in indexes.iter_mut().rev() {
        index.supersedes.retain(|one| told.insert(one.oid));
    }
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
    /// Takes in what came of rehearsing the drops: what a statement needs is not superseded, nor what one reads of which nobody saw
    /// how it does without. Notes about the latter.
    pub(super) fn take_rehearsals(&mut self, rehearsed: &BTreeMap<u32, Rehearsal>) -> Vec<String> {
        let mut notes = Vec::new();
        self.supersedes.retain_mut(|one| {
            match rehearsed.get(&one.oid) {
                Some(Rehearsal::Needed { .. }) => return false,
                Some(Rehearsal::Unknown(why)) => one.unproven = Some(why.clone()),
                Some(Rehearsal::LeftOut) => one.unproven = Some("the time was over".to_owned()),
                Some(Rehearsal::Untouched { .. } | Rehearsal::Spared { .. }) => one.unproven = None,
                None => {}
            }
            let Some(why) = one.unproven.as_ref().filter(|_| one.is_read) else {
                return true;
            };
            notes.push(format!(
                "{} is not told as superfluous: a new index has all its keys, but plans with the whole set in place still read it, and \
                 what they would cost without it was not rehearsed ({why})",
                qualified(&one.name.schema, &one.name.name)
            ));
            false
        });
        notes
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::index_advisor::candidate::IndexKey;
    use crate::index_advisor::clauses::Key;
    use crate::index_advisor::definition::Definition;
    use crate::index_advisor::existing::ExistingKey;
    use crate::index_advisor::tables::tests::table_of;
    use crate::model::finding::{Confidence, ConfidenceLevel};

    fn there(definition: &str) -> ExistingIndex {
        ExistingIndex {
            oid: 7,
            schema: "s".into(),
            name: "t_old".into(),
            method: "btree".into(),
            is_unique: false,
            is_needed: false,
            predicate: None,
            keys: vec![ExistingKey {
                key: Key::Column("a".into()),
                descending: false,
                nulls_first: false,
                is_plain: true,
            }],
            include: Vec::new(),
            definition: definition.to_owned(),
            parts: Vec::new(),
        }
    }

    /// An index on a and another column that is advised, with a plan that reads this one.
    fn advised(column: &str, read: &str) -> IndexAdvice {
        let columns = ["a", column].map(|name| IndexKey::from(Key::Column(name.into())));
        let candidate = Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: columns.into(),
            include: Vec::new(),
            predicate: None,
        };
        let mut table = table_of(1000.0, []);
        table.indexes = vec![there("CREATE INDEX t_old ON s.t USING btree (a)")];
        let scan = json!({"Node Type": "Index Scan", "Schema": "s", "Relation Name": "t", "Index Name": read, "Total Cost": 8.0});
        let plan = PlanTree::read(&json!([{ "Plan": scan }])).unwrap();
        IndexAdvice {
            supersedes: by_definition(&table, &candidate, &[&plan]),
            candidate,
            definition: Definition::default(),
            size_bytes: None,
            build_seconds: None,
            assumed_build_seconds: None,
            write_cost: 0.0,
            writes_are_counted: false,
            cost_before: 2.0,
            cost_after: 1.0,
            statements: Vec::new(),
            confidence: Confidence {
                level: ConfidenceLevel::Verified,
                reason: "asked".to_owned(),
            },
        }
    }

    #[test]
    fn what_a_plan_still_reads_is_superfluous_only_where_that_was_rehearsed() {
        let told = |read: &str, rehearsal: Rehearsal| {
            let mut index = advised("b", read);
            let notes = index.take_rehearsals(&BTreeMap::from([(7, rehearsal)]));
            (index.supersedes.len(), notes.len())
        };
        let unknown = || Rehearsal::Unknown("HypoPG 1.4 can".to_owned());
        assert_eq!(told("t_old", unknown()), (0, 1));
        assert_eq!(told("t_old", Rehearsal::LeftOut), (0, 1));
        assert_eq!(told("t_old", Rehearsal::Spared { statements: 1 }), (1, 0));
        assert_eq!(told("new", unknown()), (1, 0), "by its definition");
    }

    #[test]
    fn what_two_supersede_is_told_of_the_last() {
        let mut both = [advised("b", "new"), advised("c", "new")];
        tell_once(&mut both);
        assert_eq!(both.map(|index| index.supersedes.len()), [0, 1]);
    }

    #[test]
    fn what_was_dropped_is_made_again_as_it_was() {
        let again = |definition: &str, is_partitioned: bool| made_again(&there(definition), is_partitioned);
        assert_eq!(
            again("CREATE INDEX t_old ON s.t USING btree (a)", false).as_deref(),
            Some("CREATE INDEX CONCURRENTLY IF NOT EXISTS t_old ON s.t USING btree (a)")
        );
        assert_eq!(
            again("CREATE INDEX t_old ON ONLY s.t USING btree (a)", true).as_deref(),
            Some("CREATE INDEX IF NOT EXISTS t_old ON s.t USING btree (a)")
        );
        assert_eq!(again("", false), None, "nobody knows");
    }
}
