//! index.rarely_used

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::too_many::entries;
use super::unused;
use crate::model::catalog::{IndexFacts, TableFacts};
use crate::model::finding::{Claim, Impact, Severity, Window};
use crate::model::observation::{DatabaseObservation, IndexObservation, TableDelta, Unknown};
use crate::model::remedy::{Remedy, qualified, quote_literal};
use crate::model::unit::{Period, bytes_for_people, count_for_people, seconds_for_people};
use crate::rules::{
    DropVerdict, Found, Guards, Place, Rule, Scope, TO_BE_REHEARSED, evidence, index_object, number, standbys,
};

/// An index that is used now and then, and written to a hundred times as often.
///
/// ## Why it is bad
/// Every INSERT, and every UPDATE that is not HOT, writes an entry to it; VACUUM reads it whole; it takes disk and memory. For
/// some uses that may be more than it saves.
///
/// ## What to do
/// Review it: find out which statements use it (`EXPLAIN`), and what they would cost without it. Most often another index
/// serves them nearly as well, or the one report that needs it can wait a little longer. Then drop it with DROP INDEX
/// CONCURRENTLY, and keep its definition; no statement is given here, since it does serve somebody.
///
/// ## When it is wrong to obey
/// When the few uses are those that matter: a report of the month's end that would take an hour without it, the look-up in an
/// emergency. Scans are counted, not what each of them saves.
///
/// Never named is an index that enforces something (primary key, unique, exclusion), that replication or CLUSTER names, whose
/// expression feeds the planner's statistics, that supports a foreign key wholly or in part, or that is the same as another
/// one. One that nobody uses at all is told by index.unused. Where the planner is asked (`planner_dsn`), an index that a
/// captured statement would miss is not named.
///
/// Scans on standbys are added, where every standby that streams is watched, too, and its statistics were not reset later than
/// the primary's; else nothing is said.
///
/// Scans are totals since a known reset of statistics; an index that was made later may be judged too hard. What was written
/// since then is counted where that is known, else estimated from what was written in the last hour or two. Source:
/// PostgreSQL's chapter "The Cumulative Statistics System", pg_stat_all_indexes and pg_stat_all_tables.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RarelyUsed {
    /// For how long scans must have been counted.
    min_age: Period,
    /// From so many scans in 30 days on it is not rarely used.
    max_scans: i64,
    /// Entries that are written to it for each scan must be more than this.
    entries_per_scan: f64,
}

impl Default for RarelyUsed {
    fn default() -> Self {
        Self {
            min_age: Period::days(30),
            max_scans: 1_000,
            entries_per_scan: 100.0,
        }
    }
}

/// `max_scans` is over this.
const SCANS_OVER: Period = Period::days(30);
/// A window that begins within so much of the reset is the whole time.
const SAME_TIME: TimeDelta = TimeDelta::minutes(1);

/// An index that is rarely used, with what was written to it.
struct Rare<'a> {
    facts: &'a IndexFacts,
    table: &'a TableFacts,
    /// On the server and its standbys.
    scans: i64,
    /// On its standbys; none where they are not known.
    scans_on_standbys: Option<i64>,
    scans_in_30_days: f64,
    /// Entries since its counters began.
    entries: f64,
    /// Whether they are an estimate, rather than counted or fewer than there were.
    is_estimated: bool,
}

impl Rule for RarelyUsed {
    const ID: &'static str = "index.rarely_used";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let candidates = candidates(database);
        let mut found = Found::default();
        if candidates.is_empty() {
            return Ok(found);
        }
        let since = self.counted_since(place, database)?;
        let activity = database.table_activity.as_ref().map_err(Clone::clone)?;
        let age = Window {
            from: since,
            to: place.observation.now,
        };
        let mut rare = Vec::new();
        for (index, facts, table) in candidates {
            let scans = scans(index);
            let scans_in_30_days = scans as f64 * SCANS_OVER.as_seconds() / age.seconds().max(1.0);
            if scans_in_30_days >= self.max_scans as f64 {
                continue;
            }
            let position = activity.binary_search_by_key(&table.oid, |one| one.oid);
            let over = position.ok().and_then(|position| activity[position].over);
            let enough = self.entries_per_scan * scans as f64;
            match over.and_then(|delta| written(&delta, age, enough)) {
                Some((entries, is_estimated)) => rare.push(Rare {
                    facts,
                    table,
                    scans,
                    scans_on_standbys: index.scans_on_standbys,
                    scans_in_30_days,
                    entries,
                    is_estimated,
                }),
                // counted, and too little
                None if over.is_some_and(|delta| is_whole(&delta, since)) => {}
                // a quiet hour is no quiet month
                None => found.undecided.push(subject(facts)),
            }
        }
        rare.sort_by(|a, b| {
            let by_entries = b.entries.total_cmp(&a.entries);
            let by_name = || (&a.facts.schema, &a.facts.name).cmp(&(&b.facts.schema, &b.facts.name));
            by_entries.then_with(by_name)
        });
        for one in &rare {
            let unknown = standbys::unknown_scans(place.observation, one.scans_on_standbys);
            let untold = match (place.rehearsed(one.facts.oid), unknown) {
                (DropVerdict::Needed, _) => continue,
                (DropVerdict::Coming, _) => TO_BE_REHEARSED.to_owned(),
                (_, Some(unknown)) => unknown,
                (verdict, None) => {
                    let claim = || claim(place, age, one, &verdict);
                    found.claim_worst_first(place, || subject(one.facts), claim);
                    continue;
                }
            };
            found.undecided.push(subject(one.facts));
            found.untold = Some(untold);
        }
        Ok(found)
    }
}

fn subject(facts: &IndexFacts) -> Vec<String> {
    vec![facts.schema.clone(), facts.name.clone()]
}

/// Scans of an index on the server and, as far as they are known, on its standbys.
fn scans(index: &IndexObservation) -> i64 {
    index.scans.saturating_add(index.scans_on_standbys.unwrap_or(0))
}

/// The indexes that are used, and that nothing but their use speaks for.
fn candidates(database: &DatabaseObservation) -> Vec<(&IndexObservation, &IndexFacts, &TableFacts)> {
    let alike: HashSet<u32> = database.catalog.alike.iter().flatten().copied().collect();
    let is_candidate = |facts: &IndexFacts| {
        !unused::is_needed(facts)
            && !alike.contains(&facts.oid)
            && facts.foreign_keys.is_empty()
            && facts.foreign_keys_in_part.is_empty()
    };
    database
        .indexes_with_facts()
        .filter(|(index, facts)| scans(index) > 0 && is_candidate(facts))
        .filter_map(|(index, facts)| Some((index, facts, database.table_of(facts)?)))
        .collect()
}

/// Whether a window is all of the time that scans are counted.
fn is_whole(delta: &TableDelta, since: DateTime<Utc>) -> bool {
    (delta.window.from - since).abs() <= SAME_TIME
}

/// Entries that were written to each index of a table in all that time, if they are more than enough, and whether that is an
/// estimate.
fn written(delta: &TableDelta, age: Window, enough: f64) -> Option<(f64, bool)> {
    let counted = entries(delta) as f64;
    let estimated = counted / delta.window.seconds().max(1.0) * age.seconds();
    match (counted > enough, is_whole(delta, age.from)) {
        (true, true) => Some((counted, false)),
        (false, true) => None,
        // what was written in a part of the time is less than what was written in all of it
        (true, false) => Some((estimated.max(counted), false)),
        (false, false) => (estimated > enough).then_some((estimated, true)),
    }
}

impl RarelyUsed {
    /// Since when scans are counted, if that is long enough.
    fn counted_since(
        &self,
        place: &Place<'_>,
        database: &DatabaseObservation,
    ) -> Result<DateTime<Utc>, Unknown> {
        let since = database.counters_since.ok_or_else(|| {
            Unknown::because(
                "since when scans of indexes are counted is not known: statistics were never reset",
            )
        })?;
        let missing = self.min_age.as_delta() - (place.observation.now - since);
        match missing > TimeDelta::zero() {
            true => Err(Unknown::because(format!(
                "immature: needs {} more days without a reset of statistics",
                (missing.num_hours() as f64 / 24.0).ceil().max(1.0)
            ))),
            false => Ok(since),
        }
    }
}

fn claim(place: &Place<'_>, age: Window, rare: &Rare<'_>, verdict: &DropVerdict) -> Claim {
    let (facts, table) = (rare.facts, rare.table);
    let times = rare.entries / rare.scans.max(1) as f64;
    let counted_for = seconds_for_people(age.seconds());
    let mut guards = Guards::default();
    guards.checked("it enforces nothing, supports no foreign key, and no other index is the same");
    let standbys = place.observation.standbys_watched.names.len();
    match standbys {
        0 => guards.checked("no standby streams from this server"),
        1 => guards.checked("the scans of its standby, which is watched, too, are counted with its own"),
        _ => guards.checked(format!(
            "the scans of its {standbys} standbys, which are watched, too, are counted with its own"
        )),
    }
    guards.not_checked("whether the index existed all that time");
    if rare.is_estimated {
        guards.not_checked("what was written before the last hours: estimated from them");
    }
    match verdict {
        DropVerdict::Spared(said) => guards.checked(said.as_str()),
        _ => guards.not_checked("what the planner makes of the captured statements without it"),
    }
    Claim {
        title: format!("{}.{} is rarely used and much written to", facts.schema, facts.name),
        explanation: format!(
            "In {counted_for} it was scanned {} times, and about {} entries were written to it: {} for each scan. It takes {}. \
             See whether the statements that use it need it.",
            count_for_people(rare.scans as f64),
            count_for_people(rare.entries),
            count_for_people(times),
            bytes_for_people(facts.size_bytes)
        ),
        evidence: evidence([
            ("scans", json!(rare.scans)),
            ("scans_on_standbys", json!(rare.scans_on_standbys.filter(|scans| standbys > 0 || *scans > 0))),
            ("scans_in_30_days", number(rare.scans_in_30_days)),
            ("entries_written", json!(rare.entries.round())),
            ("entries_written_per_scan", number(times)),
            ("size_bytes", json!(facts.size_bytes)),
            ("definition", json!(facts.definition)),
        ]),
        evidence_window: Some(age),
        evidence_sql: Some(format!(
            "SELECT i.idx_scan, t.n_tup_ins, t.n_tup_upd - t.n_tup_hot_upd AS not_hot\n  FROM pg_stat_user_indexes AS i \
             JOIN pg_stat_user_tables AS t USING (relid) WHERE i.indexrelid = {}::regclass",
            quote_literal(&qualified(&facts.schema, &facts.name))
        )),
        impact: Impact {
            bytes: Some(facts.size_bytes),
            ..Impact::default()
        },
        confidence: guards.confidence("counted since a known reset of statistics"),
        remedy: Remedy {
            caveats: vec![
                "It serves somebody: find the statements that use it, and plan them without it, before it is dropped."
                    .to_owned(),
                "Keep the definition; ask whether a monthly or yearly job needs it.".to_owned(),
            ],
            ..Remedy::default()
        },
        guards: guards.told(),
        ..place.claim(
            RarelyUsed::ID,
            Severity::Info,
            subject(facts),
            Some(index_object(facts, table)),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::advice::{Advised, Rehearsal, Rehearsals};
    use crate::model::observation::{Observation, TableActivity};
    use crate::model::replication::WatchedStandbys;
    use crate::rules::testing::{claims, database, found, index, now};

    fn days_ago(days: i64) -> DateTime<Utc> {
        now() - TimeDelta::days(days)
    }

    /// What was inserted into `public.t` since then.
    fn inserted(since: DateTime<Utc>, rows: i64) -> TableActivity {
        let delta = TableDelta {
            window: Window {
                from: since,
                to: now(),
            },
            sequential_scans: 0,
            sequential_rows_read: 0,
            inserted: rows,
            updated: 0,
            hot_updated: 0,
            deleted: 0,
        };
        TableActivity {
            oid: 1,
            over: Some(delta),
            ..TableActivity::default()
        }
    }

    /// An index that was scanned so often since a reset of 30 days ago, and a table into which rows were inserted since then.
    fn observed(scans: i64, rows: i64, change: impl FnOnce(&mut IndexFacts)) -> Observation {
        let mut facts = index(9, "i");
        change(&mut facts);
        let mut observed = database(vec![facts]);
        let database = &mut observed.databases[0];
        database.counters_since = Some(days_ago(30));
        database.indexes[0].scans = scans;
        database.table_activity = Ok(vec![inserted(days_ago(30), rows)]);
        observed
    }

    fn count(observed: &Observation) -> (usize, usize) {
        let found = found::<RarelyUsed>(observed).unwrap();
        (found.claims.len(), found.undecided.len())
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let judged = |scans: i64, rows: i64| count(&observed(scans, rows, |_| ()));
        assert_eq!(judged(10, 1_001), (1, 0));
        assert_eq!(judged(10, 1_000), (0, 0));
        assert_eq!(judged(999, 1_000_000), (1, 0));
        assert_eq!(judged(1_000, 1_000_000), (0, 0));
        assert_eq!(judged(0, 1_000_000), (0, 0), "that is index.unused's");
        let mut longer = observed(1_999, 1_000_000, |_| ());
        longer.databases[0].counters_since = Some(days_ago(60));
        longer.databases[0].table_activity = Ok(vec![inserted(days_ago(60), 1_000_000)]);
        assert_eq!(count(&longer), (1, 0), "fewer than 1000 in 30 days");
    }

    #[test]
    fn what_something_rests_on_is_never_named() {
        let needed: [fn(&mut IndexFacts); 11] = [
            |facts| facts.is_primary = true,
            |facts| facts.is_unique = true,
            |facts| facts.constraint = Some("c".into()),
            |facts| facts.is_replica_identity = true,
            |facts| facts.is_clustered = true,
            |facts| facts.is_referenced = true,
            |facts| facts.has_expressions = true,
            |facts| facts.is_partition = true,
            |facts| facts.owned_by_extension = true,
            |facts| facts.foreign_keys = vec![70],
            |facts| facts.foreign_keys_in_part = vec![70],
        ];
        for change in needed {
            assert_eq!(count(&observed(10, 1_000_000, change)), (0, 0));
        }
    }

    #[test]
    fn young_or_unknown_statistics_are_no_finding() {
        let reason = |since: Option<DateTime<Utc>>| {
            let mut observed = observed(10, 1_000_000, |_| ());
            observed.databases[0].counters_since = since;
            found::<RarelyUsed>(&observed).map(|_| ()).unwrap_err().reason
        };
        assert!(reason(Some(days_ago(25))).starts_with("immature: needs 5 more days"));
        assert!(reason(None).contains("not known"));
        let mut without = observed(0, 0, |_| ());
        without.databases[0].counters_since = None;
        assert_eq!(count(&without), (0, 0), "nothing is there to be told");
        let mut unread = observed(10, 1_000_000, |_| ());
        unread.databases[0].table_activity = Err(Unknown::because("not now"));
        assert!(found::<RarelyUsed>(&unread).is_err());
    }

    #[test]
    fn an_hour_stands_for_a_month_only_where_much_was_written() {
        let judged = |rows: i64| {
            let mut observed = observed(10, 0, |_| ());
            let hour = inserted(now() - TimeDelta::hours(1), rows);
            observed.databases[0].table_activity = Ok(vec![hour]);
            let claim = claims::<RarelyUsed>(&observed).unwrap().pop();
            let reason = claim.map(|claim| claim.confidence.reason);
            (
                count(&observed),
                reason.is_some_and(|reason| reason.contains("last hours")),
            )
        };
        assert_eq!(
            judged(1_001),
            ((1, 0), false),
            "more than enough in that hour alone"
        );
        assert_eq!(judged(2), ((1, 0), true));
        assert_eq!(judged(1), ((0, 1), false), "720 of 1000");
        let mut unknown = observed(10, 0, |_| ());
        unknown.databases[0].table_activity = Ok(vec![]);
        assert_eq!(count(&unknown), (0, 1));
    }

    #[test]
    fn scans_of_watched_standbys_are_added() {
        // two standbys, of which so many are watched
        let judged = |here: i64, there: Option<i64>, watched: &[&str]| {
            let mut observed = observed(here, 10_000, |_| ());
            observed.server.standbys = 2;
            observed.standbys_watched = WatchedStandbys {
                names: watched.iter().map(|name| (*name).to_owned()).collect(),
                streaming: watched.len(),
                uncounted: vec!["c".to_owned()],
                ..WatchedStandbys::default()
            };
            observed.databases[0].indexes[0].scans_on_standbys = there;
            found::<RarelyUsed>(&observed).unwrap()
        };
        let count = |here: i64, there: Option<i64>| {
            let found = judged(here, there, &["b", "c"]);
            (found.claims.len(), found.undecided.len())
        };
        assert_eq!(count(10, Some(0)), (1, 0));
        assert_eq!(count(10, Some(89)), (1, 0));
        assert_eq!(count(10, Some(90)), (0, 0), "a hundred entries for each scan");
        assert_eq!(count(0, Some(10)), (1, 0), "used on a standby only");
        assert_eq!(count(10, Some(i64::MAX)), (0, 0));
        let claim = judged(10, Some(5), &["b", "c"]).claims.remove(0);
        assert_eq!(
            (&claim.evidence["scans"], &claim.evidence["scans_on_standbys"]),
            (&json!(15), &json!(5))
        );
        assert!(
            claim
                .guards
                .iter()
                .any(|guard| guard.starts_with("the scans of its 2 standbys"))
        );
        let unknown = judged(10, None, &["b", "c"]);
        assert_eq!((unknown.claims.len(), unknown.undecided.len()), (0, 1));
        assert!(unknown.untold.unwrap().ends_with("for as long as here: c"));
        let unwatched = judged(10, Some(0), &["b"]);
        assert_eq!((unwatched.claims.len(), unwatched.undecided.len()), (0, 1));
        assert!(unwatched.untold.unwrap().starts_with("one standby that streams"));
    }

    #[test]
    fn standbys_and_the_planner_may_need_it() {
        let mut observed = observed(10, 1_000_000, |_| ());
        observed.server.standbys = 1;
        assert_eq!(count(&observed), (0, 1), "it is not watched");
        observed.server.standbys = 0;
        observed.databases[0].rehearsals = Rehearsals::Coming;
        assert_eq!(count(&observed), (0, 1));
        let needed = Rehearsal::Needed {
            statement_id: "s".into(),
            cost_with: 8.0,
            cost_without: 900.0,
        };
        observed.databases[0].rehearsals = Rehearsals::Known(Arc::new(Advised {
            rehearsals: [(9, needed)].into(),
            ..Advised::default()
        }));
        assert_eq!(count(&observed), (0, 0));
        let mut stopped = Advised::default();
        stopped.report.workload.was_stopped = true;
        observed.databases[0].rehearsals = Rehearsals::Known(Arc::new(stopped));
        assert_eq!(
            count(&observed),
            (0, 1),
            "a run that was stopped does not show that nothing needs it"
        );
        observed.server.is_standby = true;
        assert!(found::<RarelyUsed>(&observed).is_err());
    }
}
