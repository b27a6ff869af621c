//! index.duplicate

use std::cell::OnceCell;
use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::catalog::{Catalog, IndexFacts, TableFacts};
use crate::model::finding::{Claim, Impact, Severity};
use crate::model::observation::{DatabaseObservation, Unknown};
use crate::model::remedy::{Remedy, Statement};
use crate::model::unit::bytes_for_people;
use crate::rules::{DropVerdict, Found, Guards, Place, Rule, Scope, evidence, index_object};
use crate::sql::index_keys::IndexKeys;
use crate::sql::remembered::index_keys;

/// Two indexes of one table that are the same in everything but their name.
///
/// ## Why it is bad
/// Both are written to, vacuumed and cached; the planner can use only one.
///
/// ## What to do
/// Drop the one that the other can stand in for; which one that is has been worked out. An index that backs a constraint,
/// to which a foreign key points or that replication names stays; a unique one goes only if the other is unique, too, and
/// checks as early. If the one to drop is marked for CLUSTER, the mark is moved first. Of two constraints that ask the same of
/// the same columns, the one goes that no foreign key points at; the primary key stays. On a partition the index that is attached
/// to one of the whole stays, and one of its own that is the same may go.
///
/// ## When it is wrong to obey
/// In the minutes in which a bloated index is replaced by a new one under another name, by hand or by a tool.
///
/// Equal definitions prove it. Where the planner is asked (`planner_dsn`, HypoPG 1.4 or later), the drop is rehearsed, too: if a
/// captured statement would cost more than a hundredth more without the index, it is not named.
///
/// Same means: method, columns, operator classes and their options, collations, order, INCLUDE, expressions, predicate,
/// NULLS DISTINCT, and storage parameters that decide what an index can answer, as `pages_per_range`. Those that only tune
/// how its pages are filled and written may differ: `fillfactor`, `deduplicate_items`, `buffering`, `fastupdate`,
/// `gin_pending_list_limit` (in an index with expressions or a predicate they may not). Indexes that are invalid are not
/// compared, and constraints that are DEFERRABLE are left alone. An index of a partitioned table is as large as its partitions
/// together; of several that are the same, each counts with an equal part of that. Source: PostgreSQL's catalogs pg_index and
/// pg_constraint.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Duplicate {}

impl Rule for Duplicate {
    const ID: &'static str = "index.duplicate";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let indexes = &database.catalog.indexes;
        let unread = indexes
            .values()
            .filter(|facts| facts.is_comparable() && facts.shape.is_empty());
        let mut found = Found {
            undecided: unread
                .map(|facts| vec![facts.schema.clone(), facts.name.clone()])
                .collect(),
            ..Found::default()
        };
        if !found.undecided.is_empty() {
            found.untold = Some("the definitions of some indexes could not be read".to_owned());
        }
        let sizes = Sizes::of(&database.catalog);
        let mut pairs: Vec<_> = superfluous(database)
            .into_iter()
            .map(|pair| (sizes.bytes(pair.0, pair.2), pair))
            .collect();
        pairs.sort_by(|(a_bytes, (a, ..)), (b_bytes, (b, ..))| {
            let by_size = b_bytes.unwrap_or(0.0).total_cmp(&a_bytes.unwrap_or(0.0));
            by_size.then_with(|| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)))
        });
        for (bytes, (facts, kept, table)) in pairs {
            let subject = || vec![facts.schema.clone(), facts.name.clone()];
            // that it is the same proves enough to be told before the planner is asked
            if place.rehearsed(facts.oid) == DropVerdict::Needed {
                continue;
            }
            found.claim_worst_first(place, subject, || claim(place, facts, bytes, kept, table));
        }
        Ok(found)
    }
}

/// The indexes that another one can stand in for: each with that one and their table.
pub fn superfluous(database: &DatabaseObservation) -> Vec<(&IndexFacts, &IndexFacts, &TableFacts)> {
    let indexes = &database.catalog.indexes;
    let mut pairs = Vec::new();
    for group in &database.catalog.alike {
        let mut group: Vec<&IndexFacts> = group.iter().filter_map(|oid| indexes.get(*oid)).collect();
        let Some(table) = group.first().and_then(|first| database.table_of(first)) else {
            continue;
        };
        group.sort_by_key(|facts| (std::cmp::Reverse(worth_keeping(facts)), &facts.name));
        // from the last on: what is left stays, or goes only for one that can stand in for both
        while let Some(facts) = group.pop() {
            let kept = group.iter().find(|kept| stands_in(kept, facts));
            pairs.extend(kept.map(|kept| (facts, *kept, table)));
        }
    }
    pairs
}

/// What indexes take on disk. That of a partitioned table holds nothing itself.
struct Sizes<'a> {
    catalog: &'a Catalog,
    /// The tables with the rows of a partitioned one, by the OID of the table at the top, once somebody has asked for them.
    leaves: OnceCell<HashMap<u32, Vec<u32>>>,
}

impl<'a> Sizes<'a> {
    fn of(catalog: &'a Catalog) -> Self {
        let leaves = OnceCell::new();
        Self { catalog, leaves }
    }

    fn leaves_of(&self, table_oid: u32) -> &[u32] {
        let leaves = self.leaves.get_or_init(|| {
            let mut leaves: HashMap<u32, Vec<u32>> = HashMap::new();
            for table in self.catalog.tables.values().filter(|table| table.kind == 'r') {
                if let Some(top) = table.partition_of {
                    leaves.entry(top).or_default().push(table.oid);
                }
            }
            leaves
        });
        leaves.get(&table_oid).map(Vec::as_slice).unwrap_or_default()
    }

    /// The bytes of an index; `None` where its partitions cannot be told. Which of the same indexes of a partition belongs
    /// to which of the same indexes above is not known: each is taken for as large as the others.
    fn bytes(&self, facts: &IndexFacts, table: &TableFacts) -> Option<f64> {
        if !facts.is_partitioned {
            return Some(facts.size_bytes);
        }
        // of partitions the table at the top is known, not those between
        if table.partition_of.is_some() {
            return None;
        }
        let (catalog, shape) = (self.catalog, &facts.shape);
        let same = move |table_oid: u32| {
            let indexes = catalog.indexes_of(table_oid);
            indexes.filter(move |other| other.shape == *shape)
        };
        let above = same(table.oid).filter(|other| other.is_partitioned).count();
        let mut bytes = 0.0;
        for leaf in self.leaves_of(table.oid) {
            let attached = same(*leaf).filter(|other| other.is_partition);
            if attached.clone().count() != above {
                return None;
            }
            bytes += attached.map(|other| other.size_bytes).sum::<f64>() / above as f64;
        }
        Some(bytes)
    }
}

/// Whether something rests on an index that no other one can take over; one that is attached goes with that of the whole alone.
fn must_stay(facts: &IndexFacts) -> bool {
    facts.is_primary
        || facts.is_exclusion
        || facts.is_replica_identity
        || facts.is_referenced
        || facts.is_partition
}

/// Whether an index backs a constraint that checks row by row, as ON CONFLICT needs it.
fn backs_immediate(facts: &IndexFacts) -> bool {
    facts.constraint.is_some() && facts.is_unique && facts.is_immediate
}

/// Whether one index does all that another of the same shape does. A constraint goes only for another one.
fn stands_in(kept: &IndexFacts, dropped: &IndexFacts) -> bool {
    let enforces = !dropped.is_unique || kept.is_unique && (kept.is_immediate || !dropped.is_immediate);
    let is_free = dropped.constraint.is_none() || backs_immediate(dropped) && backs_immediate(kept);
    enforces && is_free && !must_stay(dropped)
}

/// The order in which indexes stay: no index stands in for one that is greater.
fn worth_keeping(facts: &IndexFacts) -> impl Ord + use<> {
    let is_immediate = facts.is_unique && facts.is_immediate;
    (
        must_stay(facts),
        facts.constraint.is_some(),
        is_immediate,
        facts.is_unique,
        facts.is_clustered,
    )
}

fn guards(place: &Place<'_>, facts: &IndexFacts) -> Guards {
    let mut guards = Guards::default();
    guards.checked(
        "same method, columns, operator classes, collations, order, INCLUDE, predicate, NULLS DISTINCT",
    );
    guards.checked("the one that stays is valid");
    guards.checked(match facts.constraint {
        Some(_) => "the one that stays backs a constraint, too, and no foreign key points at the one to drop",
        None => "the one to drop backs no constraint, and no foreign key points at it",
    });
    if facts.is_unique {
        guards.checked("the one that stays is unique, too");
    }
    // equal definitions prove it; the planner's word is more
    if let DropVerdict::Spared(said) = place.rehearsed(facts.oid) {
        guards.checked(said);
    }
    guards
}

fn claim(
    place: &Place<'_>,
    facts: &IndexFacts,
    bytes: Option<f64>,
    kept: &IndexFacts,
    table: &TableFacts,
) -> Claim {
    let (schema, name) = (facts.schema.clone(), facts.name.clone());
    let backs = kept
        .constraint
        .as_ref()
        .map(|constraint| format!(", which backs the constraint {constraint}"));
    let guards = guards(place, facts);
    Claim {
        title: format!("{schema}.{name} is the same index as {}", kept.name),
        explanation: format!(
            "Both index {}.{} in the same way. {} stays{}{}; {name}{} costs {} and a write for every changed row, and serves \
             nothing that the other does not.",
            table.schema,
            table.name,
            kept.name,
            backs.unwrap_or_default(),
            match kept.is_partition {
                true => ", attached to the index of the whole",
                false => "",
            },
            match facts.constraint {
                Some(_) => ", a constraint that keeps the same columns unique,",
                None => "",
            },
            bytes.map_or("its space".to_owned(), bytes_for_people),
        ),
        evidence: evidence([
            ("definition", json!(facts.definition)),
            ("same_as", json!(format!("{}.{}", kept.schema, kept.name))),
            ("definition_of_the_other", json!(kept.definition)),
            ("size_bytes", json!(bytes)),
        ]),
        evidence_sql: Some(format!(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = {} AND tablename = {}",
            crate::model::remedy::quote_literal(&table.schema),
            crate::model::remedy::quote_literal(&table.name)
        )),
        impact: Impact {
            bytes,
            ..Impact::default()
        },
        confidence: guards.confidence("both definitions are equal in the catalog"),
        remedy: remedy(facts, kept, table),
        guards: guards.told(),
        ..place.claim(
            Duplicate::ID,
            Severity::Warning,
            vec![schema, name],
            Some(index_object(facts, table)),
        )
    }
}

/// How an index goes, and what brings it back.
fn drop_and_build(facts: &IndexFacts) -> (Statement, Vec<Statement>, &'static str) {
    let (schema, name) = (facts.schema.clone(), facts.name.clone());
    let definition = facts.definition.clone().map(String::from);
    match facts.is_partitioned {
        true => (
            Statement::DropIndex { schema, name },
            definition
                .map(|definition| Statement::CreateIndexOnPartitions { definition })
                .into_iter()
                .collect(),
            "ACCESS EXCLUSIVE",
        ),
        false => (
            Statement::DropIndexConcurrently { schema, name },
            definition
                .map(|definition| Statement::CreateIndexConcurrently { definition })
                .into_iter()
                .collect(),
            "SHARE UPDATE EXCLUSIVE",
        ),
    }
}

/// The same of one that backs a constraint: it goes with that, and is built before the constraint takes it, but for a
/// partitioned table, where PostgreSQL takes none that is there.
fn drop_and_add(
    facts: &IndexFacts,
    constraint: &str,
    table: &TableFacts,
) -> (Statement, Vec<Statement>, &'static str) {
    let (schema, of) = (table.schema.clone(), table.name.clone());
    let drop = Statement::DropConstraint {
        schema: schema.clone(),
        table: of.clone(),
        name: constraint.to_owned(),
    };
    let definition = facts.definition.clone().map(String::from);
    let add = match (definition, facts.is_partitioned) {
        (None, _) => Vec::new(),
        (Some(definition), false) => vec![
            Statement::CreateIndexConcurrently { definition },
            Statement::AddUniqueUsing {
                schema,
                table: of,
                index: facts.name.clone(),
            },
        ],
        (Some(definition), true) => {
            let unique = |keys: &IndexKeys| Statement::AddUnique {
                schema: schema.clone(),
                table: of.clone(),
                name: constraint.to_owned(),
                columns: keys.keys.iter().map(|key| key.text.clone()).collect(),
                include: keys.include.clone(),
                nulls_not_distinct: keys.nulls_not_distinct,
            };
            index_keys(&definition)
                .as_deref()
                .map(unique)
                .into_iter()
                .collect()
        }
    };
    (drop, add, "ACCESS EXCLUSIVE")
}

fn remedy(facts: &IndexFacts, kept: &IndexFacts, table: &TableFacts) -> Remedy {
    let (drop, build, lock) = match facts.constraint.as_deref() {
        Some(constraint) => drop_and_add(facts, constraint, table),
        None => drop_and_build(facts),
    };
    let mark = |index: &IndexFacts| {
        let statement = Statement::ClusterOn {
            schema: table.schema.clone(),
            table: table.name.clone(),
            index: index.name.clone(),
        };
        facts.is_clustered.then(|| statement.sql())
    };
    let named = match &facts.constraint {
        Some(constraint) => format!(
            "Statements with ON CONFLICT ON CONSTRAINT {constraint}, and code that knows its name from errors, must be changed to \
             the other name; PostgreSQL refuses the drop while a rule, or a function whose body is SQL of the standard, names it. \
             The lock is short, but all that reads the table waits behind it: set a lock_timeout."
        ),
        None => "Hints or scripts that name the index must be changed to the other name.".to_owned(),
    };
    Remedy {
        apply_sql: mark(kept).into_iter().chain([drop.sql()]).collect(),
        undo_sql: build
            .iter()
            .map(Statement::sql)
            .chain(mark(facts))
            .collect(),
        lock: Some(lock.to_owned()),
        rewrites_table: Some(false),
        extra_disk_bytes: Some(0.0),
        expected_seconds: None,
        caveats: vec![
            named,
            "To undo it builds the index in the default tablespace and without a comment: if it has a TABLESPACE or a COMMENT of \
             its own, write them down first."
                .to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{claims, database, index, table};

    fn named(change: impl Fn(&mut IndexFacts, &mut IndexFacts)) -> Vec<String> {
        let (mut a, mut b) = (index(8, "a"), index(9, "b"));
        b.shape = a.shape.clone();
        change(&mut a, &mut b);
        claims::<Duplicate>(&database(vec![a, b]))
            .unwrap()
            .into_iter()
            .map(|claim| claim.subject[1].clone())
            .collect()
    }

    #[test]
    fn the_one_that_backs_nothing_goes() {
        assert_eq!(named(|_, _| ()), ["b"]);
        assert_eq!(named(|_, b| b.is_unique = true), ["a"]);
        assert_eq!(named(|_, b| b.is_referenced = true), ["a"]);
        assert_eq!(named(|_, b| b.constraint = Some("k".into())), ["a"]);
        assert_eq!(named(|_, b| b.is_replica_identity = true), ["a"]);
        assert_eq!(
            named(|a, b| (a.is_primary, b.constraint) = (true, Some("k".into()))),
            [""; 0]
        );
        assert_eq!(named(|_, b| b.is_valid = false), [""; 0]);
        assert_eq!(named(|_, b| b.shape = [&b.shape, "x"].concat().into()), [""; 0]);
        assert_eq!(named(|_, b| b.table_oid = 2), [""; 0]);
    }

    fn unique(facts: &mut IndexFacts, is_immediate: bool) {
        (facts.is_unique, facts.is_immediate) = (true, is_immediate);
    }

    #[test]
    fn uniqueness_is_never_lost() {
        let plain_clustered = |a: &mut IndexFacts, b: &mut IndexFacts| {
            a.is_clustered = true;
            unique(b, true);
        };
        assert_eq!(
            named(plain_clustered),
            ["a"],
            "the mark moves, the unique one stays"
        );
        let deferrable_constraint = |a: &mut IndexFacts, b: &mut IndexFacts| {
            unique(a, false);
            a.constraint = Some("k".into());
            unique(b, true);
        };
        assert_eq!(
            named(deferrable_constraint),
            [""; 0],
            "ON CONFLICT needs the immediate one"
        );
        let both_unique = |a: &mut IndexFacts, b: &mut IndexFacts| {
            unique(a, true);
            unique(b, true);
        };
        assert_eq!(named(both_unique), ["b"]);
        let referenced = |a: &mut IndexFacts, b: &mut IndexFacts| {
            both_unique(a, b);
            b.is_referenced = true;
        };
        assert_eq!(named(referenced), ["a"], "a foreign key points at the other");
        let both_referenced = |a: &mut IndexFacts, b: &mut IndexFacts| {
            referenced(a, b);
            a.is_referenced = true;
        };
        assert_eq!(named(both_referenced), [""; 0]);
        let excluding = |a: &mut IndexFacts, b: &mut IndexFacts| {
            a.constraint = Some("k".into());
            a.is_exclusion = true;
            unique(b, true);
        };
        assert_eq!(
            named(excluding),
            [""; 0],
            "an exclusion constraint is no uniqueness"
        );
    }

    /// What goes of two constraints, the first the primary key where it is one.
    fn constraints(change: impl Fn(&mut IndexFacts, &mut IndexFacts)) -> Vec<Claim> {
        let (mut a, mut b) = (index(8, "a"), index(9, "b"));
        b.shape = a.shape.clone();
        for facts in [&mut a, &mut b] {
            unique(facts, true);
            facts.constraint = Some(facts.name.as_str().into());
            let definition = format!(
                "CREATE UNIQUE INDEX {} ON public.t USING btree (a, \"B\") INCLUDE (c)",
                facts.name
            );
            facts.definition = Some(definition.into());
        }
        change(&mut a, &mut b);
        claims::<Duplicate>(&database(vec![a, b])).unwrap()
    }

    #[test]
    fn of_two_constraints_the_one_goes_that_nothing_rests_on() {
        let gone = |change: fn(&mut IndexFacts, &mut IndexFacts)| {
            let claims = constraints(change).into_iter();
            claims.map(|claim| claim.subject[1].clone()).collect::<Vec<_>>()
        };
        assert_eq!(gone(|_, _| ()), ["b"]);
        assert_eq!(gone(|a, _| a.is_primary = true), ["b"]);
        assert_eq!(gone(|_, b| b.is_primary = true), ["a"]);
        assert_eq!(gone(|_, b| b.is_referenced = true), ["a"]);
        assert_eq!(gone(|_, b| b.is_replica_identity = true), ["a"]);
        assert_eq!(
            gone(|a, b| (a.is_primary, b.is_referenced) = (true, true)),
            [""; 0]
        );
        assert_eq!(gone(|_, b| b.is_immediate = false), [""; 0], "DEFERRABLE");
        assert_eq!(gone(|a, _| a.constraint = None), ["a"], "as ever");
        let told = constraints(|a, _| a.is_primary = true).remove(0);
        assert_eq!(told.remedy.apply_sql, ["ALTER TABLE public.t DROP CONSTRAINT b"]);
        assert!(told.remedy.caveats[0].contains("PostgreSQL refuses the drop while a rule"));
        assert_eq!(
            told.remedy.undo_sql,
            [
                "CREATE UNIQUE INDEX CONCURRENTLY b ON public.t USING btree (a, \"B\") INCLUDE (c)",
                "ALTER TABLE public.t ADD CONSTRAINT b UNIQUE USING INDEX b",
            ]
        );
        assert_eq!(told.remedy.lock.as_deref(), Some("ACCESS EXCLUSIVE"));
        let whole = constraints(|a, b| (a.is_partitioned, b.is_partitioned) = (true, true)).remove(0);
        assert_eq!(
            whole.remedy.undo_sql,
            ["ALTER TABLE public.t ADD CONSTRAINT b UNIQUE (a, \"B\") INCLUDE (c)"]
        );
    }

    #[test]
    fn of_the_indexes_of_a_partition_the_attached_one_stays() {
        assert_eq!(named(|_, b| b.is_partition = true), ["a"]);
        assert_eq!(
            named(|a, b| (a.is_partition, b.is_partition) = (true, true)),
            [""; 0]
        );
        let unique_own = |a: &mut IndexFacts, b: &mut IndexFacts| {
            unique(a, true);
            b.is_partition = true;
        };
        assert_eq!(named(unique_own), [""; 0], "it enforces what the other does not");
    }

    #[test]
    fn the_mark_for_cluster_moves_before_the_index_goes() {
        let (mut a, mut b) = (index(8, "a"), index(9, "b"));
        b.shape = a.shape.clone();
        a.is_clustered = true;
        unique(&mut b, true);
        let remedy = claims::<Duplicate>(&database(vec![a, b]))
            .unwrap()
            .remove(0)
            .remedy;
        assert_eq!(
            remedy.apply_sql,
            [
                "ALTER TABLE public.t CLUSTER ON b",
                "DROP INDEX CONCURRENTLY public.a"
            ]
        );
        assert_eq!(remedy.undo_sql[1..], ["ALTER TABLE public.t CLUSTER ON a"]);
    }

    #[test]
    fn what_undoing_does_not_bring_back_is_told() {
        let (a, mut b) = (index(8, "a"), index(9, "b"));
        b.shape = a.shape.clone();
        let claims = claims::<Duplicate>(&database(vec![a, b])).unwrap();
        let caveats = claims[0].remedy.caveats.join("\n");
        assert!(
            caveats.contains("TABLESPACE") && caveats.contains("COMMENT"),
            "{caveats}"
        );
    }

    /// A partitioned table with two indexes that are the same, and two partitions with so many bytes of each of these.
    fn partitioned(change: impl FnOnce(&mut Vec<IndexFacts>, &mut Vec<TableFacts>)) -> Claim {
        let same = |oid: u32, table_oid: u32, size_bytes: f64| IndexFacts {
            table_oid,
            size_bytes,
            shape: "same".into(),
            is_partition: table_oid != 1,
            is_partitioned: table_oid == 1,
            ..index(oid, &format!("i{oid}"))
        };
        let mut indexes = vec![
            same(10, 1, 0.0),
            same(11, 1, 0.0),
            same(20, 2, 3e6),
            same(21, 2, 5e6),
            same(30, 3, 1e6),
            same(31, 3, 1e6),
        ];
        let part = |oid: u32, name: &str| TableFacts {
            partition_of: Some(1),
            ..table(oid, name, 10.0, 0.0)
        };
        let mut tables = vec![table(1, "t", 0.0, 0.0), part(2, "t2"), part(3, "t3")];
        tables[0].kind = 'p';
        change(&mut indexes, &mut tables);
        let mut observed = database(vec![]);
        observed.databases[0].catalog = Catalog::new(tables.into(), indexes.into()).into();
        let mut of_whole = claims::<Duplicate>(&observed).unwrap();
        // what is attached to none may be one of the partition alone
        of_whole.retain(|claim| claim.subject[1] == "i10" || claim.subject[1] == "i11");
        of_whole.remove(0)
    }

    #[test]
    fn an_index_of_a_partitioned_table_is_as_large_as_its_partitions() {
        let claim = partitioned(|_, _| ());
        assert_eq!(claim.impact.bytes, Some(5e6));
        assert_eq!(claim.evidence["size_bytes"], json!(5e6));
        let unknown = [
            // not attached, perhaps to neither
            partitioned(|indexes, _| indexes[5].is_partition = false),
            partitioned(|_, tables| tables[0].partition_of = Some(7)),
        ];
        for claim in unknown {
            assert_eq!(claim.impact.bytes, None);
            assert!(!claim.evidence.contains_key("size_bytes"));
            assert!(
                claim.explanation.contains("costs its space and"),
                "{}",
                claim.explanation
            );
        }
    }

    #[test]
    fn of_many_every_one_that_goes_names_one_that_stays() {
        let names = ["a", "b", "c", "d", "e"];
        // every index is plain, unique, unique and deferrable, or named by a constraint
        let kinds: [fn(&mut IndexFacts); 4] = [
            |_| (),
            |facts| unique(facts, true),
            |facts| {
                unique(facts, false);
                facts.constraint = Some("k".into());
            },
            |facts| facts.is_replica_identity = true,
        ];
        for mix in 0..kinds.len().pow(names.len() as u32) {
            let indexes: Vec<IndexFacts> = (0..names.len())
                .map(|at| {
                    let mut facts = index(at as u32, names[at]);
                    facts.shape = "same".into();
                    kinds[mix / kinds.len().pow(at as u32) % kinds.len()](&mut facts);
                    facts
                })
                .collect();
            let unique_before = indexes.iter().any(|facts| facts.is_unique && facts.is_immediate);
            let found = claims::<Duplicate>(&database(indexes.clone())).unwrap();
            let gone: Vec<&str> = found.iter().map(|claim| claim.subject[1].as_str()).collect();
            let stays = |name: &str| !gone.contains(&name);
            let left = indexes.iter().filter(|facts| stays(&facts.name));
            assert_eq!(
                left.filter(|facts| facts.is_unique && facts.is_immediate).count() > 0,
                unique_before,
                "{gone:?}"
            );
            for claim in &found {
                let other = claim.evidence["same_as"].as_str().unwrap();
                assert!(stays(other.trim_start_matches("public.")), "{other} goes, too");
            }
        }
    }
}
