//! Indexes that are there for nothing once the advised ones are: by their definitions, and by the planner, which plans with the
//! whole set in place and them hidden.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;
use tokio_postgres::types::Type;

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
use crate::postgres::{Plan, PostgresError, column, queries};

/// An index that is there, and of which an advised one answers all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// Its OID.
    pub oid: u32,
    /// Its schema and name.
    pub name: TableName,
    /// Whether it is that of a partitioned table, with those of its partitions.
    pub is_partitioned: bool,
    /// As PostgreSQL prints it; none where it could not be read, as that of a table that somebody holds exclusively.
    pub definition: Option<String>,
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
            is_partitioned: table.is_partitioned,
            definition: None,
            is_read: is_read(index),
            unproven: Some("the planner could not be asked".to_owned()),
        })
        .collect()
}

impl Superseded {
    /// What makes it again if it was dropped meanwhile, and else leaves it as it is. None of a partitioned table, which cannot be had
    /// CONCURRENTLY.
    pub(super) fn undo_sql(&self) -> Option<String> {
        let definition = self.definition.clone().filter(|_| !self.is_partitioned)?;
        let sql = Statement::CreateIndexConcurrently { definition }.sql();
        let rest = sql.strip_prefix("CREATE INDEX CONCURRENTLY ")?;
        Some(format!("CREATE INDEX CONCURRENTLY{IF_NOT_THERE}{rest}"))
    }

    /// How that of a partitioned table is made again, and what that locks.
    pub(super) fn how_made_again(&self) -> Option<String> {
        let definition = self.definition.clone().filter(|_| self.is_partitioned)?;
        Some(format!(
            "{}, once it was dropped, is not made again by undoing, for writes to the table and all its partitions would wait until it is \
             built (SHARE); this makes it: {}",
            qualified(&self.name.schema, &self.name.name),
            Statement::CreateIndexOnPartitions { definition }.sql()
        ))
    }
}

/// Leaves of what indexes supersede by their definitions what is to be told, and reads how it was made. On a standby that is nothing:
/// what its primary's own statements need is not seen there.
///
/// # Errors
/// If the session is lost.
pub(super) async fn settle(plan: &Plan, indexes: &mut [IndexAdvice]) -> Result<(), PostgresError> {
    if plan.is_standby {
        indexes.iter_mut().for_each(|index| index.supersedes.clear());
    }
    tell_once(indexes);
    read_definitions(plan, indexes).await
}

/// Reads how those that are superseded were made.
///
/// # Errors
/// If the session is lost.
async fn read_definitions(plan: &Plan, indexes: &mut [IndexAdvice]) -> Result<(), PostgresError> {
    let superseded = indexes.iter().flat_map(|index| &index.supersedes);
    let oids: Vec<u32> = superseded.map(|one| one.oid).collect();
    if oids.is_empty() {
        return Ok(());
    }
    // as every version takes it
    let query = queries::INDEX_DEFINITIONS.on(140_000);
    let rows = match plan.session().rows(query, &[(&oids, Type::OID_ARRAY)]).await {
        // one table that is locked, or dropped just now, must not lose the advice
        Err(error) if !error.is_fatal() => return Ok(()),
        rows => rows?,
    };
    let read = rows.iter().filter_map(|row| {
        let (oid, definition) = (column::<u32>(row, "oid")?, column::<String>(row, "definition")?);
        Some((oid, definition))
    });
    let mut definitions: BTreeMap<u32, String> = read.collect();
    for one in indexes.iter_mut().flat_map(|index| &mut index.supersedes) {
        one.definition = definitions.remove(&one.oid);
    }
    Ok(())
}

/// What several indexes of a set supersede is told of the last of them: all of them are there then.
fn tell_once(indexes: &mut [IndexAdvice]) {
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

/// What the planner makes of dropping all that a set supersedes, one after the other, by OID; on a standby nothing is told of that.
/// `set` holds what can be proven, and `most_calls` is how often the planner may be asked in all.
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
    if plan.is_standby || superseded.is_empty() {
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

    fn there() -> ExistingIndex {
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
        table.indexes = vec![there()];
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
        let again = |definition: Option<&str>, is_partitioned: bool| {
            let mut one = advised("b", "new").supersedes.remove(0);
            one.definition = definition.map(str::to_owned);
            one.is_partitioned = is_partitioned;
            (one.undo_sql(), one.how_made_again())
        };
        let (undo_sql, how) = again(Some("CREATE INDEX t_old ON s.t USING btree (a)"), false);
        assert_eq!(
            undo_sql.as_deref(),
            Some("CREATE INDEX CONCURRENTLY IF NOT EXISTS t_old ON s.t USING btree (a)")
        );
        assert_eq!(how, None);
        let (undo_sql, how) = again(Some("CREATE INDEX t_old ON ONLY s.t USING btree (a)"), true);
        assert_eq!(undo_sql, None, "it would block writes for as long as it builds");
        let how = how.unwrap();
        assert!(
            how.starts_with("s.t_old, once it was dropped, is not made again by undoing")
                && how.ends_with("(SHARE); this makes it: CREATE INDEX t_old ON s.t USING btree (a)"),
            "{how}"
        );
        assert_eq!(again(None, false), (None, None), "nobody knows");
        assert_eq!(again(None, true), (None, None));
    }
}
