//! index.redundant_prefix

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{duplicate, unused};
use crate::model::catalog::{IndexFacts, TableFacts};
use crate::model::finding::{Claim, Impact, Severity};
use crate::model::observation::{DatabaseObservation, IndexObservation, Unknown};
use crate::model::remedy::{Remedy, Statement, quote_literal};
use crate::model::unit::{Period, Size, bytes_for_people};
use crate::rules::{DropVerdict, Found, Guards, Place, Rule, Scope, TO_BE_REHEARSED, evidence, index_object};
use crate::sql::index_keys::IndexKeys;
use crate::sql::remembered::index_keys;

/// An index whose keys are the first keys of another index of the same table.
///
/// ## Why it is bad
/// The longer one answers all that the shorter one does: a btree index is searched by its first columns as well as by all of
/// them. Both are written to, vacuumed and cached.
///
/// ## What to do
/// Drop the shorter one with DROP INDEX CONCURRENTLY, and keep its definition to build it again: both are given. Of several
/// that begin with one another, the longest stays.
///
/// ## When it is wrong to obey
/// When the longer one is so much larger that reading it costs more: a short index of few values is packed tightly
/// (deduplication), a wide one is not. The sizes of both are shown, and where the planner is asked (`planner_dsn`, HypoPG 1.4
/// or later) the drop is rehearsed: the index is hidden, and the captured statements whose plans take it are planned again. If
/// one of them would cost more than a hundredth more, the index is not named. Where that was not tried, *not checked* says so.
/// An index that is less than half as large as the longer one is cheaper to read, and may have been built for that (index.missing
/// advises such pairs): it is named only if its drop was rehearsed, or if for a week or longer it had less than one scan a day.
///
/// Never named is an index that enforces something, that a constraint, a foreign key, replication or CLUSTER names, or that
/// belongs to an extension or to the index of a partitioned table. Both must be btree indexes and valid, with the same
/// predicate; the keys must be equal in order, direction, operator class and collation, and the longer one must hold the
/// columns that the shorter one includes. If the longer one has been idle, nothing is said: then it may be the one to drop, and
/// index.unused tells that. Indexes that are the same in everything are told by index.duplicate. Source: PostgreSQL's chapter
/// "Multicolumn Indexes".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedundantPrefix {
    /// Size of the shorter index from which it is a warning.
    warning_size: Size,
    /// The longer index must have been used within so long, if it enforces nothing; within the min_age of index.unused
    /// where that is shorter.
    longer_used_within: Period,
}

impl Default for RedundantPrefix {
    fn default() -> Self {
        Self {
            warning_size: Size { bytes: 100_000_000 },
            longer_used_within: Period::days(7),
        }
    }
}

/// The longer index is so many times as large as the shorter one where that is cheaper to read.
const CHEAPER_FACTOR: f64 = 2.0;
/// Scans a day below which that does not matter, and days for which they must have been counted.
const FEW_SCANS_PER_DAY: f64 = 1.0;
const COUNTED_DAYS: f64 = 7.0;

const UNREAD: &str = "the definitions of some indexes could not be read";

impl Rule for RedundantPrefix {
    const ID: &'static str = "index.redundant_prefix";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let mut found = Found::default();
        let all = database.catalog.indexes.values();
        let unread = all.filter(|facts| facts.is_comparable() && facts.definition.is_none());
        found.undecided = unread.map(subject).collect();
        if !found.undecided.is_empty() {
            found.untold = Some(UNREAD.to_owned());
        }
        let is_in_use = |facts: &IndexFacts| self.is_in_use(place, database, facts);
        let mut pairs = superfluous(database, &is_in_use);
        pairs.sort_by(|(a, ..), (b, ..)| {
            let by_size = b.size_bytes.total_cmp(&a.size_bytes);
            by_size.then_with(|| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)))
        });
        for (facts, kept, table) in pairs {
            let untold = match (kept, verdict(place, facts)) {
                (_, DropVerdict::Needed) => continue,
                (Some(kept), DropVerdict::NotTried | DropVerdict::GivenUp(_))
                    if is_cheaper(facts, kept) && !is_hardly_scanned(place, database, facts) =>
                {
                    // what was told after a rehearsal is not mended because there was none this time
                    found.undecided.push(subject(facts));
                    continue;
                }
                (None, _) => format!(
                    "the longer indexes of some pairs have not been used for {}: which one may go is not known",
                    self.used_within(database)
                ),
                (Some(_), DropVerdict::Coming) => TO_BE_REHEARSED.to_owned(),
                (Some(kept), verdict) => {
                    let claim = || self.claim(place, (facts, kept, table), &verdict);
                    found.claim_worst_first(place, || subject(facts), claim);
                    continue;
                }
            };
            found.undecided.push(subject(facts));
            found.untold = Some(untold);
        }
        Ok(found)
    }
}

fn subject(facts: &IndexFacts) -> Vec<String> {
    vec![facts.schema.clone(), facts.name.clone()]
}

fn seen(database: &DatabaseObservation, oid: u32) -> Option<&IndexObservation> {
    let position = database.indexes.binary_search_by_key(&oid, |seen| seen.oid);
    Some(&database.indexes[position.ok()?])
}

/// Whether reading the shorter index costs less than reading the longer one, by their sizes; that of the index of a partitioned
/// table is not known.
fn is_cheaper(facts: &IndexFacts, kept: &IndexFacts) -> bool {
    !facts.is_partitioned && kept.size_bytes > CHEAPER_FACTOR * facts.size_bytes
}

/// Whether an index is known to have hardly any scans, those on standbys counted in.
fn is_hardly_scanned(place: &Place<'_>, database: &DatabaseObservation, facts: &IndexFacts) -> bool {
    let Some(seen) = seen(database, facts.oid) else {
        return false;
    };
    let days_since = |since: chrono::DateTime<chrono::Utc>| {
        (place.observation.now - since).num_seconds() as f64 / 86_400.0
    };
    let scans = seen
        .scans_on_standbys
        .map(|others| seen.scans.saturating_add(others));
    let since = database.counters_since.map(|since| match seen.appeared_at {
        Some(appeared_at) => since.max(appeared_at),
        None => since,
    });
    let Some((scans, days)) = scans.zip(since.map(days_since)) else {
        return false;
    };
    // the counters of the database may be older than an index that was there at the first look
    let is_old = seen
        .idle_since
        .is_some_and(|since| days_since(since) >= COUNTED_DAYS)
        || scans > 0;
    is_old && days >= COUNTED_DAYS && (scans as f64) < FEW_SCANS_PER_DAY * days
}

/// What the planner says; plans name the indexes of partitions, so that of one of a partitioned table they say nothing.
fn verdict(place: &Place<'_>, facts: &IndexFacts) -> DropVerdict {
    match facts.is_partitioned {
        true => DropVerdict::NotTried,
        false => place.rehearsed(facts.oid),
    }
}

/// Each index that another one can stand in for, with that one and their table. `may_stay` says which may be relied upon;
/// where only others could stand in, none is given.
pub fn superfluous<'a>(
    database: &'a DatabaseObservation,
    may_stay: &dyn Fn(&IndexFacts) -> bool,
) -> Vec<(&'a IndexFacts, Option<&'a IndexFacts>, &'a TableFacts)> {
    let same: HashSet<u32> = duplicate::superfluous(database)
        .into_iter()
        .map(|(facts, ..)| facts.oid)
        .collect();
    let mut pairs = Vec::new();
    for (table_oid, indexes) in database.catalog.indexes_by_table() {
        let indexes: Vec<(&IndexFacts, &str)> = indexes
            .filter(|facts| facts.is_comparable() && !same.contains(&facts.oid))
            .filter_map(|facts| Some((facts, keys_as_text(facts)?)))
            .collect();
        let table = database.catalog.tables.get(table_oid);
        let Some(table) = table.filter(|_| indexes.len() > 1) else {
            continue;
        };
        let pairs_of = pairs_of(&read(&indexes), may_stay);
        pairs.extend(pairs_of.into_iter().map(|(facts, kept)| (facts, kept, table)));
    }
    pairs
}

/// The definition of a btree index from its first key on.
fn keys_as_text(facts: &IndexFacts) -> Option<&str> {
    let (_, text) = facts.definition.as_deref()?.split_once(" USING btree (")?;
    Some(text)
}

/// An index and what it holds.
type Read<'a> = (&'a IndexFacts, Arc<IndexKeys>);

/// Reads those of a table's indexes that may begin with one another. PostgreSQL prints equal keys alike, so that most need not
/// be parsed.
fn read<'a>(indexes: &[(&'a IndexFacts, &str)]) -> Vec<Read<'a>> {
    let first = |text: &str| text.find(')').unwrap_or(text.len());
    let begins = |longer: &str, shorter: &str| longer.starts_with(&shorter[..first(shorter)]);
    let is_near = |one: usize| {
        let mut others = indexes.iter().enumerate().filter(|(other, _)| *other != one);
        let text = indexes[one].1;
        others.any(|(_, (_, other))| begins(text, other) || begins(other, text))
    };
    let near = (0..indexes.len()).filter(|one| is_near(*one));
    near.filter_map(|one| {
        let facts = indexes[one].0;
        Some((facts, index_keys(facts.definition.as_deref()?)?))
    })
    .collect()
}

/// Each index of a table that another one can stand in for, with one that stays.
fn pairs_of<'a>(
    read: &[Read<'a>],
    may_stay: &dyn Fn(&IndexFacts) -> bool,
) -> Vec<(&'a IndexFacts, Option<&'a IndexFacts>)> {
    let relied_upon: Vec<&Read<'a>> = read.iter().filter(|one| may_stay(one.0)).collect();
    let is_covered = |one: &Read<'a>| relied_upon.iter().any(|kept| stands_in(kept, one));
    let staying: Vec<&Read<'a>> = relied_upon
        .iter()
        .copied()
        .filter(|one| !is_covered(one))
        .collect();
    let mut pairs = Vec::new();
    for one in read {
        let longest = staying
            .iter()
            .filter(|kept| stands_in(kept, one))
            .max_by_key(|kept| (kept.1.keys.len(), kept.1.include.len(), Reverse(&kept.0.name)));
        match longest {
            Some(kept) => pairs.push((one.0, Some(kept.0))),
            None if read.iter().any(|kept| stands_in(kept, one)) => pairs.push((one.0, None)),
            None => {}
        }
    }
    pairs
}

/// Whether nothing but its use speaks for an index. The statistics of its expressions are with the longer one, too.
fn is_droppable(facts: &IndexFacts) -> bool {
    !(facts.is_primary
        || facts.is_unique
        || facts.is_exclusion
        || facts.constraint.is_some()
        || facts.is_replica_identity
        || facts.is_clustered
        || facts.is_referenced
        || facts.is_partition
        || facts.owned_by_extension)
}

/// Whether one index does all that another one does, which may go. Of two that do the same, the first by name stays.
fn stands_in((kept, longer): &Read<'_>, (facts, shorter): &Read<'_>) -> bool {
    let supports = |keys: fn(&IndexFacts) -> &[u32]| keys(facts).iter().all(|key| keys(kept).contains(key));
    let is_other = kept.oid != facts.oid && kept.shape != facts.shape;
    let is_mutual = || is_droppable(kept) && holds(shorter, longer);
    is_other
        && is_droppable(facts)
        && holds(longer, shorter)
        && supports(|facts| &facts.foreign_keys)
        && supports(|facts| &facts.foreign_keys_in_part)
        && (!is_mutual() || kept.name < facts.name)
}

/// Whether an index begins with all keys of another one and holds all that it includes, of the same rows.
fn holds(longer: &IndexKeys, shorter: &IndexKeys) -> bool {
    let is_held = |column: &String| {
        longer.include.contains(column) || longer.keys.iter().any(|key| key.text == *column)
    };
    longer.method == "btree"
        && shorter.method == "btree"
        && longer.predicate == shorter.predicate
        && longer.keys.starts_with(&shorter.keys)
        && shorter.include.iter().all(is_held)
}

impl RedundantPrefix {
    /// How lately the longer index must have been used: one that index.unused is about to name is not relied upon.
    fn used_within(&self, database: &DatabaseObservation) -> Period {
        let unused_after = database.unused_after.unwrap_or(self.longer_used_within);
        self.longer_used_within.min(unused_after)
    }

    /// Whether the longer index is sure to stay: something rests on it, or it is used.
    fn is_in_use(&self, place: &Place<'_>, database: &DatabaseObservation, facts: &IndexFacts) -> bool {
        if unused::is_needed(facts) {
            return true;
        }
        let idle_since = seen(database, facts.oid).and_then(|seen| {
            seen.idle_since
                .into_iter()
                .chain(seen.no_scan_counted_since)
                .min()
        });
        idle_since.is_none_or(|since| place.observation.now - since < self.used_within(database).as_delta())
    }

    fn claim(
        &self,
        place: &Place<'_>,
        (facts, kept, table): (&IndexFacts, &IndexFacts, &TableFacts),
        verdict: &DropVerdict,
    ) -> Claim {
        let scans = |facts: &IndexFacts| {
            let seen = seen(place.database?, facts.oid)?;
            Some(seen.scans)
        };
        // the size of the index of a partitioned table is that of its partitions' indexes, which is not known
        let size_bytes = (!facts.is_partitioned).then_some(facts.size_bytes);
        let size = size_bytes.map_or_else(|| "space".to_owned(), bytes_for_people);
        let guards = guards(place, facts, verdict);
        let is_large = facts.size_bytes >= self.warning_size.bytes as f64;
        Claim {
            title: format!(
                "{}.{} is the beginning of {}",
                facts.schema, facts.name, kept.name
            ),
            explanation: format!(
                "Both index {}.{}, and {} begins with all keys of {}, so that it answers the same. {} takes {size} and a write \
                 for every row that is inserted.",
                table.schema, table.name, kept.name, facts.name, facts.name
            ),
            evidence: evidence([
                ("definition", json!(facts.definition)),
                ("longer", json!(format!("{}.{}", kept.schema, kept.name))),
                ("definition_of_the_longer", json!(kept.definition)),
                ("size_bytes", json!(size_bytes)),
                (
                    "size_of_the_longer_bytes",
                    json!((!kept.is_partitioned).then_some(kept.size_bytes)),
                ),
                ("scans", json!(scans(facts))),
                ("scans_of_the_longer", json!(scans(kept))),
            ]),
            evidence_sql: Some(format!(
                "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = {} AND tablename = {}",
                quote_literal(&table.schema),
                quote_literal(&table.name)
            )),
            impact: Impact {
                bytes: size_bytes,
                ..Impact::default()
            },
            confidence: guards.confidence("the definitions show it, and no captured statement would miss it"),
            remedy: remedy(facts, kept),
            guards: guards.told(),
            ..place.claim(
                Self::ID,
                match is_large {
                    true => Severity::Warning,
                    false => Severity::Info,
                },
                subject(facts),
                Some(index_object(facts, table)),
            )
        }
    }
}

fn guards(place: &Place<'_>, facts: &IndexFacts, verdict: &DropVerdict) -> Guards {
    let mut guards = Guards::default();
    guards.checked(
        "same order, direction, operator classes, collations and predicate; what it includes is held",
    );
    guards.checked("it enforces nothing, and the longer one supports the same foreign keys");
    guards.checked("the longer one is valid, and not known to be unused");
    match (verdict, facts.is_partitioned) {
        (DropVerdict::NotTried, true) => guards.not_checked(
            "what the planner makes of captured statements without it: that is asked of no partitioned table",
        ),
        _ => verdict.guard(&mut guards),
    }
    if place.observation.server.standbys > 0 {
        guards.not_checked("the statements of its standbys, which are not captured here");
    }
    guards
}

fn remedy(facts: &IndexFacts, kept: &IndexFacts) -> Remedy {
    let (schema, name) = (facts.schema.clone(), facts.name.clone());
    let definition = facts.definition.clone().map(String::from);
    let (drop, build, lock) = match facts.is_partitioned {
        true => (
            Statement::DropIndex { schema, name },
            definition.map(|definition| Statement::CreateIndexOnPartitions { definition }),
            "ACCESS EXCLUSIVE",
        ),
        false => (
            Statement::DropIndexConcurrently { schema, name },
            definition.map(|definition| Statement::CreateIndexConcurrently { definition }),
            "SHARE UPDATE EXCLUSIVE",
        ),
    };
    let mut caveats =
        vec!["Hints or scripts that name the index must be changed to the other name.".to_owned()];
    if !facts.is_partitioned {
        caveats.push(format!(
            "Statements that use it will read {} of {} instead of {}.",
            kept.name,
            bytes_for_people(kept.size_bytes),
            bytes_for_people(facts.size_bytes)
        ));
    }
    Remedy {
        apply_sql: vec![drop.sql()],
        undo_sql: build.iter().map(Statement::sql).collect(),
        lock: Some(lock.to_owned()),
        rewrites_table: Some(false),
        extra_disk_bytes: Some(0.0),
        expected_seconds: None,
        caveats,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;

    use super::*;
    use crate::model::advice::{Advised, Rehearsal, Rehearsals};
    use crate::model::finding::ConfidenceLevel;
    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, database, found, index, now, severities};

    /// An index on `public.t` with these keys and what follows them.
    fn on(oid: u32, name: &str, rest: &str) -> IndexFacts {
        IndexFacts {
            definition: Some(format!("CREATE INDEX {name} ON public.t USING {rest}").into()),
            ..index(oid, name)
        }
    }

    /// Each that is named, with the one that stays.
    fn named(indexes: Vec<IndexFacts>) -> Vec<String> {
        let claims = claims::<RedundantPrefix>(&database(indexes)).unwrap();
        let pair = |claim: &Claim| {
            let longer = claim.evidence["longer"].as_str().unwrap();
            format!("{} < {}", claim.subject[1], longer.trim_start_matches("public."))
        };
        claims.iter().map(pair).collect()
    }

    fn of_two(shorter: &str, longer: &str) -> Vec<String> {
        named(vec![on(8, "s", shorter), on(9, "l", longer)])
    }

    #[test]
    fn only_the_very_beginning_is_redundant() {
        let none = [""; 0];
        assert_eq!(of_two("btree (a)", "btree (a, b)"), ["s < l"]);
        assert_eq!(of_two("btree (a, b)", "btree (a)"), ["l < s"]);
        assert_eq!(of_two("btree (b)", "btree (a, b)"), none);
        assert_eq!(of_two("btree (a DESC)", "btree (a, b)"), none);
        assert_eq!(of_two("btree (a DESC)", "btree (a DESC, b)"), ["s < l"]);
        assert_eq!(of_two("btree (a NULLS FIRST)", "btree (a, b)"), none);
        assert_eq!(of_two("btree (a text_pattern_ops)", "btree (a, b)"), none);
        assert_eq!(of_two("btree (a)", "btree (a COLLATE \"C\", b)"), none);
        assert_eq!(of_two("btree (lower(a))", "btree (lower(a), b)"), ["s < l"]);
        assert_eq!(of_two("btree (lower(a))", "btree (a, b)"), none);
        assert_eq!(of_two("hash (a)", "btree (a, b)"), none);
        assert_eq!(of_two("brin (a)", "brin (a, b)"), none);
        assert_eq!(of_two("btree (ab)", "btree (abc, b)"), none);
    }

    #[test]
    fn rows_and_included_columns_must_be_held() {
        let none = [""; 0];
        assert_eq!(of_two("btree (a) WHERE (b > 0)", "btree (a, b)"), none);
        assert_eq!(of_two("btree (a)", "btree (a, b) WHERE (b > 0)"), none);
        assert_eq!(
            of_two("btree (a) WHERE (b > 0)", "btree (a, b) WHERE (b > 0)"),
            ["s < l"]
        );
        assert_eq!(of_two("btree (a) INCLUDE (b)", "btree (a, b)"), ["s < l"]);
        assert_eq!(of_two("btree (a) INCLUDE (c)", "btree (a, b)"), none);
        assert_eq!(
            of_two("btree (a) INCLUDE (c)", "btree (a, b) INCLUDE (c, d)"),
            ["s < l"]
        );
        assert_eq!(of_two("btree (a)", "btree (a) INCLUDE (b)"), ["s < l"]);
        let turned = of_two("btree (a) INCLUDE (b, c)", "btree (a) INCLUDE (c, b)");
        assert_eq!(turned, ["s < l"], "one of two that do the same stays");
    }

    #[test]
    fn of_nested_ones_the_longest_stays() {
        let nested = vec![
            on(7, "i1", "btree (a)"),
            on(8, "i2", "btree (a, b)"),
            on(9, "i3", "btree (a, b, c)"),
        ];
        assert_eq!(named(nested), ["i1 < i3", "i2 < i3"]);
        let mut twins = vec![
            on(7, "i1", "btree (a)"),
            on(8, "i2", "btree (a, b)"),
            on(9, "i3", "btree (a, b)"),
        ];
        twins[2].shape = twins[1].shape.clone();
        assert_eq!(named(twins), ["i1 < i2"], "the other one is index.duplicate's");
    }

    #[test]
    fn what_something_rests_on_is_never_named() {
        let judged = |change: fn(&mut IndexFacts, &mut IndexFacts)| {
            let (mut shorter, mut longer) = (on(8, "s", "btree (a)"), on(9, "l", "btree (a, b)"));
            change(&mut shorter, &mut longer);
            named(vec![shorter, longer]).len()
        };
        assert_eq!(judged(|_, _| ()), 1);
        assert_eq!(judged(|_, longer| longer.is_primary = true), 1);
        assert_eq!(judged(|shorter, _| shorter.has_expressions = true), 1);
        let needed: [fn(&mut IndexFacts, &mut IndexFacts); 13] = [
            |shorter, _| shorter.is_primary = true,
            |shorter, _| shorter.is_unique = true,
            |shorter, _| shorter.is_exclusion = true,
            |shorter, _| shorter.constraint = Some("c".into()),
            |shorter, _| shorter.is_replica_identity = true,
            |shorter, _| shorter.is_clustered = true,
            |shorter, _| shorter.is_referenced = true,
            |shorter, _| shorter.is_partition = true,
            |shorter, _| shorter.owned_by_extension = true,
            |shorter, _| shorter.foreign_keys = [70].into(),
            |_, longer| longer.is_valid = false,
            |_, longer| longer.is_ready = false,
            |_, longer| longer.table_oid = 2,
        ];
        for change in needed {
            assert_eq!(judged(change), 0);
        }
    }

    fn pair() -> Observation {
        database(vec![on(8, "s", "btree (a)"), on(9, "l", "btree (a, b)")])
    }

    #[test]
    fn severity_is_by_size_and_what_is_unread_is_undecided() {
        let sized = |size_bytes: f64| {
            let shorter = IndexFacts {
                size_bytes,
                ..on(8, "s", "btree (a)")
            };
            severities::<RedundantPrefix>(&database(vec![shorter, on(9, "l", "btree (a, b)")]))
        };
        assert_eq!(sized(1e8), [Severity::Warning]);
        assert_eq!(sized(1e8 - 1.0), [Severity::Info]);
        let unread = IndexFacts {
            definition: None,
            ..index(8, "s")
        };
        let judged = found::<RedundantPrefix>(&database(vec![unread])).unwrap();
        assert_eq!(
            (judged.undecided.len(), judged.untold.as_deref()),
            (1, Some(UNREAD))
        );
        let mut standby = pair();
        standby.server.is_standby = true;
        assert!(found::<RedundantPrefix>(&standby).is_err());
    }

    #[test]
    fn while_the_longer_one_is_idle_either_may_be_the_one_to_go() {
        let judged = |days: i64, is_needed: bool| {
            let mut observed = match is_needed {
                false => pair(),
                true => {
                    let unique = IndexFacts {
                        is_unique: true,
                        ..on(9, "l", "btree (a, b)")
                    };
                    database(vec![on(8, "s", "btree (a)"), unique])
                }
            };
            observed.databases[0].indexes[1].idle_since = Some(now() - TimeDelta::days(days));
            let found = found::<RedundantPrefix>(&observed).unwrap();
            (found.claims.len(), found.undecided.len())
        };
        assert_eq!(judged(6, false), (1, 0));
        assert_eq!(judged(7, false), (0, 1));
        assert_eq!(judged(100, true), (1, 0));
    }

    #[test]
    fn what_index_unused_is_about_to_name_is_not_relied_upon() {
        let judged = |idle_days: i64, unused_after: Option<u64>| {
            let mut observed = pair();
            observed.databases[0].indexes[1].idle_since = Some(now() - TimeDelta::days(idle_days));
            observed.databases[0].unused_after = unused_after.map(Period::days);
            let found = found::<RedundantPrefix>(&observed).unwrap();
            (found.claims.len(), found.undecided.len())
        };
        assert_eq!(judged(3, None), (1, 0));
        assert_eq!(
            judged(3, Some(3)),
            (0, 1),
            "that rule says to drop the longer one"
        );
        assert_eq!(judged(3, Some(4)), (1, 0));
        assert_eq!(judged(7, Some(35)), (0, 1), "its own setting counts, too");
    }

    #[test]
    fn the_planner_has_the_last_word() {
        let judged = |rehearsals: Rehearsals| {
            let mut observed = pair();
            observed.databases[0].rehearsals = rehearsals;
            let found = found::<RedundantPrefix>(&observed).unwrap();
            let confidence = found.claims.first().map(|claim| claim.confidence.level);
            (confidence, found.undecided.len())
        };
        let known = |rehearsal: Rehearsal| {
            Rehearsals::Known(Arc::new(Advised {
                rehearsals: [(8, rehearsal)].into(),
                ..Advised::default()
            }))
        };
        let needed = Rehearsal::Needed {
            statement_id: "s".into(),
            cost_with: 8.0,
            cost_without: 900.0,
        };
        assert_eq!(judged(known(needed)), (None, 0));
        assert_eq!(judged(Rehearsals::Coming), (None, 1));
        assert_eq!(
            judged(Rehearsals::NotTried),
            (Some(ConfidenceLevel::Estimated), 0)
        );
        let spared = Rehearsal::Spared { statements: 2 };
        assert_eq!(judged(known(spared)), (Some(ConfidenceLevel::Measured), 0));
    }

    #[test]
    fn an_index_that_is_cheaper_to_read_is_not_named_while_it_is_read() {
        let judged = |longer_bytes: f64, scans: i64, counted_days: i64, rehearsals: Rehearsals| {
            let sized = |size_bytes: f64, facts: IndexFacts| IndexFacts { size_bytes, ..facts };
            let shorter = sized(1e6, on(8, "s", "btree (dt)"));
            let longer = sized(longer_bytes, on(9, "l", "btree (dt) INCLUDE (cc, cv, id, n)"));
            let mut observed = database(vec![shorter, longer]);
            observed.databases[0].rehearsals = rehearsals;
            observed.databases[0].indexes[0].scans = scans;
            observed.databases[0].counters_since = Some(now() - TimeDelta::days(counted_days));
            let found = found::<RedundantPrefix>(&observed).unwrap();
            assert_eq!(found.undecided.len() + found.claims.len(), 1);
            found.claims.len()
        };
        let untried = || Rehearsals::NotTried;
        assert_eq!(
            judged(4e6, 1000, 40, untried()),
            0,
            "as index.missing advises them"
        );
        assert_eq!(judged(2e6, 1000, 40, untried()), 1, "hardly cheaper");
        assert_eq!(judged(4e6, 39, 40, untried()), 1, "hardly read");
        assert_eq!(judged(4e6, 40, 40, untried()), 0);
        assert_eq!(judged(4e6, 0, 6, untried()), 0, "who knows");
        assert_eq!(judged(4e6, 0, 40, untried()), 0, "it may have been made today");
        let spared = Rehearsals::Known(Arc::new(Advised {
            rehearsals: [(8, Rehearsal::Spared { statements: 2 })].into(),
            ..Advised::default()
        }));
        assert_eq!(judged(4e6, 1000, 40, spared), 1, "the planner was asked");
    }

    #[test]
    fn what_was_built_yesterday_is_not_called_hardly_read() {
        let claims = |appeared_days: Option<i64>| {
            let sized = |size_bytes: f64, facts: IndexFacts| IndexFacts { size_bytes, ..facts };
            let shorter = sized(1e6, on(8, "s", "btree (dt)"));
            let longer = sized(4e6, on(9, "l", "btree (dt) INCLUDE (cc, cv, id, n)"));
            let mut observed = database(vec![shorter, longer]);
            let database = &mut observed.databases[0];
            database.counters_since = Some(now() - TimeDelta::days(40));
            database.indexes[0].scans = 3;
            database.indexes[0].appeared_at = appeared_days.map(|days| now() - TimeDelta::days(days));
            found::<RedundantPrefix>(&observed).unwrap().claims.len()
        };
        assert_eq!(claims(None), 1);
        assert_eq!(claims(Some(39)), 1);
        assert_eq!(claims(Some(1)), 0);
    }

    #[test]
    fn the_way_there_and_back() {
        let remedy = claims::<RedundantPrefix>(&pair()).unwrap().remove(0).remedy;
        assert_eq!(remedy.apply_sql, ["DROP INDEX CONCURRENTLY public.s"]);
        assert_eq!(
            remedy.undo_sql,
            ["CREATE INDEX CONCURRENTLY s ON public.t USING btree (a)"]
        );
        let whole = |oid: u32, name: &str, rest: &str| IndexFacts {
            is_partitioned: true,
            definition: Some(format!("CREATE INDEX {name} ON ONLY public.t USING {rest}").into()),
            ..index(oid, name)
        };
        let observed = database(vec![whole(8, "s", "btree (a)"), whole(9, "l", "btree (a, b)")]);
        let claim = claims::<RedundantPrefix>(&observed).unwrap().remove(0);
        assert_eq!(claim.remedy.apply_sql, ["DROP INDEX public.s"]);
        assert_eq!(
            claim.remedy.undo_sql,
            ["CREATE INDEX s ON public.t USING btree (a)"]
        );
        assert_eq!(claim.confidence.level, ConfidenceLevel::Estimated);
    }
}
