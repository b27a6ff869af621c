//! index.unused

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Datelike, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::catalog::{IndexFacts, TableFacts};
use crate::model::finding::{Claim, Impact, Severity, Window};
use crate::model::observation::{DatabaseObservation, IndexObservation, Unknown};
use crate::model::remedy::{Remedy, Statement, qualified};
use crate::model::unit::{Period, Size, bytes_for_people, plural};
use crate::rules::{
    DropVerdict, Found, Guards, Place, Rule, Scope, TO_BE_REHEARSED, evidence, index_object, standbys,
};
use crate::sql::remembered::index_keys;

/// An index that no query has used for longer than a month.
///
/// ## Why it is bad
/// Every INSERT, and every UPDATE that is not HOT, writes to it; VACUUM reads it whole; it takes disk and memory and
/// makes planning slower.
///
/// ## What to do
/// Drop it with DROP INDEX CONCURRENTLY, and keep its definition to build it again: both are given.
///
/// ## When it is wrong to obey
/// When it serves something rarer than the window: a yearly report, an emergency. An index that enforces something
/// (primary key, unique, exclusion), that replication or CLUSTER names, or whose expression feeds the planner's statistics
/// is never named here.
///
/// A foreign key needs an index for every row that is deleted from the table that it points at. Of the indexes that begin
/// with its columns one is never named: one that is used, else the smallest; one that has only some of its columns stays
/// if there is no other. Of two indexes that are the same, index.duplicate tells which one may go; neither is named here,
/// since the planner uses the one or the other.
///
/// Where the planner is asked (`planner_dsn`, HypoPG 1.4 or later), the drop is rehearsed: the index is hidden, and the captured
/// statements whose plans take it are planned again. If one of them would cost more than a hundredth more, the index is not named.
/// Where that was not tried, *not checked* says so, and why. Indexes that have been idle for less than a day are not rehearsed.
///
/// Idleness is counted from our own looks over restarts and resets, from the index's last scan where the server knows it
/// (16 and later), or from totals since a known reset; of an index that was built since the first look, from then on, and one
/// that was there already may be younger than its totals. PostgreSQL records no creation of a database: where one was never
/// reset, its totals count from when something proves that it was there, such as a VACUUM. Standbys that are watched, too,
/// count like the primary. Where one of these is promoted and its primary was watched until then (its last three looks may be
/// missing, and no more than ten minutes), an index is idle since both have left it alone, and no longer than both were
/// watched. Else a server that was promoted is idle from then on at most: what the primary before it used was not counted
/// there, and its totals say nothing; what is open of an index whose last scan there is longer ago stays. Source: PostgreSQL's
/// chapter "The Cumulative Statistics System", pg_stat_all_indexes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unused {
    /// How long it must have been idle. Longer than a month, so that a month's end is in it.
    min_age: Period,
    /// From this size on it is a warning.
    warning_size: Size,
}

impl Default for Unused {
    fn default() -> Self {
        Self {
            min_age: Period::days(35),
            warning_size: Size::gigabytes(1),
        }
    }
}

/// How long an index must have been idle by these thresholds of the rule; `None` if they are no such thresholds.
pub fn min_age(thresholds: &Value) -> Option<Period> {
    Unused::deserialize(thresholds).ok().map(|rule| rule.min_age)
}

/// Since when an index is idle, and whether that is sure.
struct Idle {
    since: DateTime<Utc>,
    index_existed: bool,
}

/// How an index was used over the time that it must have been idle.
enum Use {
    Never(Idle),
    /// Not that anybody knows, who have known it since then only, and what a standby counted before is of an unknown time, or of a
    /// long ago one; `None` where not all know it yet.
    NotSeen(Option<DateTime<Utc>>),
    /// It was scanned here, or seen to be scanned on a standby within that time, or was not there all that time.
    Otherwise,
}

/// Why an index is undecided of which nobody can tell yet since when a standby has left it alone.
const UNKNOWN_ON_A_STANDBY: &str =
    "a standby that is watched does not tell yet how some indexes are used there";

impl Rule for Unused {
    const ID: &'static str = "index.unused";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let oldest_allowed = place.observation.now - self.min_age.as_delta();
        let mut found = Found::default();
        let mut waits: Option<DateTime<Utc>> = None;
        let mut unused = Vec::new();
        let mut undecided = Vec::new();
        let mut droppable = 0;
        let alike: HashSet<u32> = database.catalog.alike.iter().flatten().copied().collect();
        for (index, facts) in database.indexes_with_facts() {
            if is_needed(facts) || alike.contains(&facts.oid) {
                continue;
            }
            droppable += 1;
            if facts.shape.is_empty() {
                undecided.push(facts);
                found.untold = Some("the definitions of some indexes could not be read".to_owned());
                continue;
            }
            match Use::of(index, oldest_allowed) {
                Use::Never(idle) => {
                    unused.extend(database.table_of(facts).map(|table| (facts, table, index, idle)));
                }
                Use::NotSeen(since) => {
                    if since.is_none() {
                        found.untold = Some(UNKNOWN_ON_A_STANDBY.to_owned());
                    }
                    waits = waits.max(since);
                    undecided.push(facts);
                }
                // what was open of it, or of another index that had its name before, is over
                Use::Otherwise => {}
            }
        }
        // the smallest of those that support a foreign key stays
        unused.sort_by(|(a, ..), (b, ..)| {
            let by_size = b.size_bytes.total_cmp(&a.size_bytes);
            by_size.then_with(|| (&b.schema, &b.name).cmp(&(&a.schema, &a.name)))
        });
        let mut support = match unused.is_empty() {
            true => Support::default(),
            false => Support::of(database),
        };
        for (facts, table, index, idle) in &unused {
            match place.rehearsed(facts.oid) {
                // a statement takes it though none was seen to: it is for something
                DropVerdict::Needed => continue,
                DropVerdict::Coming => {
                    undecided.push(facts);
                    found.untold = Some(TO_BE_REHEARSED.to_owned());
                    continue;
                }
                DropVerdict::NotTried | DropVerdict::GivenUp(_) | DropVerdict::Spared(_) => {}
            }
            if support.spares(facts) {
                found.claim_worst_first(
                    place,
                    || subject(facts),
                    || self.claim(place, facts, table, index, idle),
                );
            }
        }
        if let Some(since) = waits {
            let days = (since - oldest_allowed).num_hours() as f64 / 24.0;
            let reason = format!(
                "immature: needs {} without a reset of statistics",
                plural(days.ceil().max(1.0) as usize, "more day", "more days")
            );
            if undecided.len() == droppable {
                return Err(Unknown::because(reason));
            }
            found.untold = Some(reason);
        }
        found.undecided = undecided.into_iter().map(subject).collect();
        Ok(found)
    }
}

fn subject(facts: &IndexFacts) -> Vec<String> {
    vec![facts.schema.clone(), facts.name.clone()]
}

/// How many indexes each foreign key of a database has, by the OID of its constraint.
#[derive(Default)]
struct Support {
    whole: HashMap<u32, usize>,
    in_part: HashMap<u32, usize>,
}

impl Support {
    fn of(database: &DatabaseObservation) -> Self {
        let count = |keys: fn(&IndexFacts) -> &[u32]| {
            let mut counts = HashMap::new();
            for key in database.catalog.indexes.values().flat_map(keys) {
                *counts.entry(*key).or_default() += 1;
            }
            counts
        };
        Self {
            whole: count(|facts| &facts.foreign_keys),
            in_part: count(|facts| &facts.foreign_keys_in_part),
        }
    }

    /// Whether every foreign key that an index supports has another one that does it as well; then this one is gone.
    fn spares(&mut self, facts: &IndexFacts) -> bool {
        let others =
            |counts: &HashMap<u32, usize>, keys: &[u32]| keys.iter().all(|key| counts.get(key) > Some(&1));
        let is_spared =
            others(&self.whole, &facts.foreign_keys) && others(&self.in_part, &facts.foreign_keys_in_part);
        if is_spared {
            for (counts, keys) in [
                (&mut self.whole, &facts.foreign_keys),
                (&mut self.in_part, &facts.foreign_keys_in_part),
            ] {
                for key in keys {
                    counts.entry(*key).and_modify(|count| *count -= 1);
                }
            }
        }
        is_spared
    }
}

/// Whether an index is never named here, however idle it is.
pub fn is_needed(facts: &IndexFacts) -> bool {
    facts.is_needed()
}

impl Use {
    fn of(index: &IndexObservation, oldest_allowed: DateTime<Utc>) -> Self {
        let is_long_ago = |at: &DateTime<Utc>| *at <= oldest_allowed;
        if let Some(since) = index.idle_since.filter(is_long_ago) {
            return Self::Never(Idle {
                since,
                index_existed: true,
            });
        }
        if let Some(since) = index.no_scan_counted_since.filter(is_long_ago) {
            return Self::Never(Idle {
                since,
                index_existed: index.appeared_at.is_some(),
            });
        }
        // one that was scanned a moment ago, or came then, is no candidate that waits for its time
        let since_then = [index.used_on_standbys_at, index.appeared_at];
        let is_known = since_then.iter().flatten().any(|at| !is_long_ago(at));
        // where that does not count for its idleness, it is no use of this time either
        let is_scanned = index.scans > 0 && index.last_scan_of_promoted_at.is_none_or(|at| !is_long_ago(&at));
        match is_scanned || is_known {
            true => Self::Otherwise,
            false => Self::NotSeen(
                index
                    .idle_since
                    .into_iter()
                    .chain(index.no_scan_counted_since)
                    .min(),
            ),
        }
    }
}

impl Unused {
    fn claim(
        &self,
        place: &Place<'_>,
        facts: &IndexFacts,
        table: &TableFacts,
        index: &IndexObservation,
        idle: &Idle,
    ) -> Claim {
        let now = place.observation.now;
        let days = (now - idle.since).num_days();
        let idle_for = crate::model::unit::seconds_for_people((now - idle.since).num_seconds() as f64);
        let warning = facts.size_bytes >= self.warning_size.bytes as f64;
        let guards = guards(place, facts, idle, now);
        let (schema, name) = (facts.schema.clone(), facts.name.clone());
        Claim {
            title: format!("{schema}.{name} has not been used for {idle_for}"),
            explanation: format!(
                "No query has scanned this index of {}.{} for {idle_for}. It takes {} and is written to by every \
                 insert{}. It enforces nothing and supports no foreign key alone.",
                table.schema,
                table.name,
                bytes_for_people(facts.size_bytes),
                match is_partial(facts) {
                    true => " of a row that its condition holds for",
                    false => "",
                }
            ),
            evidence: evidence([
                ("scans", json!(index.scans)),
                ("idle_days", json!(days)),
                ("size_bytes", json!(facts.size_bytes)),
                ("definition", json!(facts.definition)),
            ]),
            evidence_window: Some(Window {
                from: idle.since,
                to: now,
            }),
            evidence_sql: Some(format!(
                "SELECT idx_scan, pg_size_pretty(pg_relation_size(indexrelid)) FROM pg_stat_user_indexes\n  \
                 WHERE indexrelid = {}::regclass",
                crate::model::remedy::quote_literal(&qualified(&schema, &name))
            )),
            impact: Impact {
                bytes: Some(facts.size_bytes),
                ..Impact::default()
            },
            confidence: guards.confidence("idle in every look of the window"),
            remedy: Remedy {
                apply_sql: vec![Statement::DropIndexConcurrently { schema, name }.sql()],
                undo_sql: facts
                    .definition
                    .iter()
                    .map(|definition| {
                        Statement::CreateIndexConcurrently {
                            definition: String::from(definition.clone()),
                        }
                        .sql()
                    })
                    .collect(),
                lock: Some("SHARE UPDATE EXCLUSIVE".to_owned()),
                rewrites_table: Some(false),
                extra_disk_bytes: Some(0.0),
                expected_seconds: None,
                caveats: vec!["Keep the definition; ask whether a yearly job needs it.".to_owned()],
            },
            guards: guards.told(),
            ..place.claim(
                Self::ID,
                if warning {
                    Severity::Warning
                } else {
                    Severity::Info
                },
                subject(facts),
                Some(index_object(facts, table)),
            )
        }
    }
}

/// Whether it holds only the rows of a condition.
fn is_partial(facts: &IndexFacts) -> bool {
    let keys = facts.definition.as_deref().and_then(index_keys);
    keys.is_some_and(|keys| keys.predicate.is_some())
}

/// What was checked, and what could not be.
fn guards(place: &Place<'_>, facts: &IndexFacts, idle: &Idle, now: DateTime<Utc>) -> Guards {
    let mut guards = Guards::default();
    guards.checked("enforces no constraint and supports no foreign key alone");
    guards.checked("no other index is the same");
    standbys::guard(&mut guards, place.observation);
    if !idle.index_existed {
        guards.not_checked("whether the index existed all that time");
    }
    place.rehearsed(facts.oid).guard(&mut guards);
    match (now.year(), now.month()) == (idle.since.year(), idle.since.month()) {
        true => guards.not_checked("a month's end"),
        false => guards.checked("a month's end lies in that time"),
    }
    guards
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{claims, database, index, now};
    use chrono::TimeDelta;

    fn judged(
        change: impl Fn(&mut IndexFacts),
        idle_days: i64,
        totals_days: Option<i64>,
    ) -> Result<Vec<Claim>, Unknown> {
        let mut facts = index(9, "i");
        change(&mut facts);
        let mut observed = database(vec![facts]);
        let seen = &mut observed.databases[0].indexes[0];
        seen.idle_since = Some(now() - TimeDelta::days(idle_days));
        seen.no_scan_counted_since = totals_days.map(|days| now() - TimeDelta::days(days));
        claims::<Unused>(&observed)
    }

    #[test]
    fn whether_it_existed_all_that_time_is_known_of_what_was_built_since_the_first_look() {
        let unchecked = |appeared_days: Option<i64>| {
            let mut observed = database(vec![index(9, "i")]);
            let seen = &mut observed.databases[0].indexes[0];
            seen.no_scan_counted_since = Some(now() - TimeDelta::days(40));
            seen.appeared_at = appeared_days.map(|days| now() - TimeDelta::days(days));
            let guards = claims::<Unused>(&observed).unwrap().remove(0).guards;
            guards
                .iter()
                .any(|guard| guard.contains("whether the index existed"))
        };
        assert!(unchecked(None));
        assert!(!unchecked(Some(40)));
    }

    #[test]
    fn a_partial_index_is_written_to_by_rows_of_its_condition_alone() {
        let explained = |rest: &str| {
            let definition = format!("CREATE INDEX i ON public.t USING btree (a){rest}");
            let change = |facts: &mut IndexFacts| facts.definition = Some(definition.clone().into());
            judged(change, 40, None).unwrap().remove(0).explanation
        };
        assert!(explained("").contains("written to by every insert."));
        let partial = explained(" WHERE (b > 0)");
        assert!(
            partial.contains("every insert of a row that its condition holds for."),
            "{partial}"
        );
    }

    /// How many are claimed and how many are undecided of one index that is idle for a day only, as far as is known.
    fn of_a_young_one(change: impl Fn(&mut IndexObservation)) -> (usize, usize) {
        // beside one for which the whole rule does not wait
        let mut observed = database(vec![index(8, "used"), index(9, "i")]);
        let [used, seen] = &mut observed.databases[0].indexes[..] else {
            panic!("two indexes");
        };
        used.scans = 1;
        seen.idle_since = Some(now() - TimeDelta::days(1));
        change(seen);
        let found = crate::rules::testing::found::<Unused>(&observed).unwrap();
        (found.claims.len(), found.undecided.len())
    }

    #[test]
    fn what_a_standby_scans_is_used() {
        let of_standbys = |scanned_days_ago: Option<i64>| {
            of_a_young_one(|seen| {
                seen.used_on_standbys_at = scanned_days_ago.map(|days| now() - TimeDelta::days(days));
            })
        };
        assert_eq!(of_standbys(Some(1)), (0, 0), "what was open resolves");
        assert_eq!(of_standbys(Some(34)), (0, 0));
        assert_eq!(
            of_standbys(Some(35)),
            (0, 1),
            "that is no use of the last 35 days"
        );
        assert_eq!(of_standbys(None), (0, 1), "nobody knows it for long enough");
        assert_eq!(
            of_a_young_one(|seen| seen.idle_since = None),
            (0, 1),
            "a standby does not know it"
        );
        assert_eq!(of_a_young_one(|seen| seen.scans = 1), (0, 0), "used here");
        let scanned_last = |days: i64| {
            of_a_young_one(|seen| {
                seen.scans = 1;
                seen.last_scan_of_promoted_at = Some(now() - TimeDelta::days(days));
            })
        };
        assert_eq!(scanned_last(34), (0, 0));
        assert_eq!(
            scanned_last(35),
            (0, 1),
            "before it was promoted: what is open stays"
        );
    }

    #[test]
    fn an_index_that_came_since_is_another_one_than_was_unused() {
        let appeared =
            |days: i64| of_a_young_one(|seen| seen.appeared_at = Some(now() - TimeDelta::days(days)));
        assert_eq!(appeared(1), (0, 0), "what was open under its name resolves");
        assert_eq!(appeared(40), (0, 1), "it is the same");
        let idle = of_a_young_one(|seen| {
            (seen.appeared_at, seen.idle_since) = (
                Some(now() - TimeDelta::days(36)),
                Some(now() - TimeDelta::days(36)),
            );
        });
        assert_eq!(idle, (1, 0));
    }

    #[test]
    fn what_the_planner_would_miss_is_not_called_unused() {
        use crate::model::advice::{Advised, Rehearsal, Rehearsals};
        use crate::model::finding::ConfidenceLevel;
        let told = |rehearsal: Option<Rehearsal>| {
            let mut observed = database(vec![index(9, "i")]);
            let database = &mut observed.databases[0];
            database.indexes[0].idle_since = Some(now() - TimeDelta::days(40));
            database.rehearsals = match rehearsal {
                None => Rehearsals::Coming,
                Some(rehearsal) => Rehearsals::Known(std::sync::Arc::new(Advised {
                    rehearsals: [(9, rehearsal)].into(),
                    ..Advised::default()
                })),
            };
            let found = crate::rules::testing::found::<Unused>(&observed).unwrap();
            let confidence = found.claims.first().map(|claim| claim.confidence.level);
            (confidence, found.undecided.len())
        };
        let needed = Rehearsal::Needed {
            statement_id: "s".into(),
            cost_with: 8.0,
            cost_without: 900.0,
        };
        assert_eq!(told(Some(needed)), (None, 0), "and what was open resolves");
        let untouched = Rehearsal::Untouched { statements: 3 };
        assert_eq!(told(Some(untouched)), (Some(ConfidenceLevel::Measured), 0));
        let unknown = Rehearsal::Unknown("not now".into());
        assert_eq!(told(Some(unknown)), (Some(ConfidenceLevel::Estimated), 0));
        assert_eq!(told(None), (None, 1), "it is asked soon");
        let left_out = told(Some(Rehearsal::LeftOut));
        assert_eq!(left_out, (None, 1), "the next run may say that it is needed");
    }

    #[test]
    fn why_the_planner_could_not_tell_is_told() {
        use crate::model::advice::{Advised, Rehearsal, Rehearsals};
        let unchecked = |change: &dyn Fn(&mut DatabaseObservation)| {
            let mut observed = database(vec![index(9, "i")]);
            observed.databases[0].indexes[0].idle_since = Some(now() - TimeDelta::days(40));
            change(&mut observed.databases[0]);
            let guards = claims::<Unused>(&observed).unwrap().remove(0).guards;
            let told = guards
                .into_iter()
                .find(|guard| guard.starts_with("not checked: what the planner makes"));
            told.unwrap_or_default()
        };
        let with = |rehearsals: &[(u32, Rehearsal)]| {
            unchecked(&|database| {
                database.rehearsals = Rehearsals::Known(std::sync::Arc::new(Advised {
                    rehearsals: rehearsals.iter().cloned().collect(),
                    ..Advised::default()
                }));
            })
        };
        let unknown = with(&[(9, Rehearsal::Unknown("no statement could be planned".into()))]);
        assert!(
            unknown.ends_with("without it (no statement could be planned)"),
            "{unknown}"
        );
        let left = with(&[]);
        assert!(left.contains("idle for a day or more"), "{left}");
        assert_eq!(with(&[(9, Rehearsal::Untouched { statements: 3 })]), "");
        let failed = unchecked(&|database| database.advice = Err(Unknown::because("HypoPG is missing")));
        assert!(failed.ends_with("without it (HypoPG is missing)"), "{failed}");
    }

    #[test]
    fn what_is_needed_is_never_named() {
        assert_eq!(judged(|_| (), 36, None).unwrap().len(), 1);
        let needed: [fn(&mut IndexFacts); 8] = [
            |facts| facts.is_primary = true,
            |facts| facts.is_unique = true,
            |facts| facts.constraint = Some("c".into()),
            |facts| facts.is_replica_identity = true,
            |facts| facts.is_clustered = true,
            |facts| facts.is_referenced = true,
            |facts| facts.has_expressions = true,
            |facts| facts.is_valid = false,
        ];
        for change in needed {
            assert_eq!(judged(change, 36, None).unwrap().len(), 0);
        }
    }

    #[test]
    fn young_statistics_are_no_finding() {
        let reason = judged(|_| (), 30, Some(30)).unwrap_err().reason;
        assert!(reason.starts_with("immature: needs 5 more days"), "{reason}");
        let estimated = judged(|_| (), 1, Some(36)).unwrap().remove(0);
        assert!(estimated.confidence.reason.contains("existed all that time"));
        assert_eq!(
            judged(|facts| facts.size_bytes = 1e9, 36, None).unwrap()[0].severity,
            Severity::Warning
        );
        assert_eq!(
            judged(|facts| facts.size_bytes = 9e8, 36, None).unwrap()[0].severity,
            Severity::Info
        );
    }

    /// The names of those that are claimed among idle indexes of public.t.
    fn unused(indexes: Vec<IndexFacts>) -> Vec<String> {
        let mut observed = database(indexes);
        for seen in &mut observed.databases[0].indexes {
            seen.idle_since = Some(now() - TimeDelta::days(40));
        }
        let claims = claims::<Unused>(&observed).unwrap();
        claims.into_iter().map(|claim| claim.subject[1].clone()).collect()
    }

    /// An index of so many bytes that supports foreign keys wholly, and others in part.
    fn supporting(oid: u32, name: &str, size_bytes: f64, whole: &[u32], in_part: &[u32]) -> IndexFacts {
        IndexFacts {
            size_bytes,
            foreign_keys: whole.into(),
            foreign_keys_in_part: [whole, in_part].concat().into(),
            ..index(oid, name)
        }
    }

    #[test]
    fn one_index_of_every_foreign_key_stays() {
        let (small, large) = (
            supporting(8, "small", 1.0, &[70], &[]),
            supporting(9, "large", 2.0, &[70], &[]),
        );
        assert_eq!(unused(vec![small.clone()]), [""; 0]);
        assert_eq!(unused(vec![small.clone(), large.clone()]), ["large"]);
        let primary = IndexFacts {
            is_primary: true,
            ..supporting(7, "t_pkey", 9.0, &[70], &[])
        };
        assert_eq!(
            unused(vec![primary, small.clone(), large.clone()]),
            ["large", "small"]
        );
        let other = supporting(10, "other", 3.0, &[71], &[70]);
        assert_eq!(
            unused(vec![small.clone(), large, other]),
            ["large"],
            "each of two keys keeps one"
        );
        let in_part = supporting(11, "in_part", 3.0, &[], &[70]);
        assert_eq!(unused(vec![in_part.clone()]), [""; 0], "better than none");
        assert_eq!(unused(vec![in_part.clone(), small.clone()]), ["in_part"]);
        let tiny = IndexFacts {
            size_bytes: 0.5,
            ..in_part
        };
        assert_eq!(
            unused(vec![tiny, small]),
            ["in_part"],
            "the whole key stays, though it is larger"
        );
    }

    #[test]
    fn the_used_one_stays_and_equal_ones_are_not_its_business() {
        let (a, b) = (
            supporting(8, "a", 1.0, &[70], &[]),
            supporting(9, "b", 2.0, &[70], &[]),
        );
        let mut observed = database(vec![a, b]);
        for seen in &mut observed.databases[0].indexes {
            let days = if seen.oid == 9 { 0 } else { 40 };
            seen.scans = 1;
            seen.idle_since = Some(now() - TimeDelta::days(days));
        }
        let named = claims::<Unused>(&observed).unwrap();
        assert_eq!(named.len(), 1);
        assert_eq!(named[0].subject[1], "a", "the smaller one, for the other is used");
        let mut twins = vec![index(8, "a"), index(9, "b")];
        twins[1].shape = twins[0].shape.clone();
        assert_eq!(unused(twins), [""; 0]);
    }
}
