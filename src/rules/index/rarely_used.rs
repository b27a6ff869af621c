//! index.rarely_used

mod counted;

use std::collections::HashSet;

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::unused;
use crate::model::catalog::{Catalog, IndexFacts, TableFacts};
use crate::model::finding::{Claim, Impact, Severity, Window};
use crate::model::index_days::{LittleUse, OverDays, UseOverDays, Used, scans_in_30_days};
use crate::model::observation::{DatabaseObservation, IndexObservation, Unknown};
use crate::model::remedy::{Remedy, qualified, quote_literal};
use crate::model::unit::{Period, bytes_for_people, count_for_people, plural, seconds_for_people};
use crate::rules::{
    DropVerdict, Found, Guards, Place, Rule, Scope, TO_BE_REHEARSED, evidence, index_object, number, standbys,
};
use counted::{Counted, Source, Totals, over_days};

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
/// Scans and writes are those of the days that the advisor remembers, up to now, over resets and crashes: as many days as were
/// looked at for nine tenths, if they are enough and the index is that old. Where they are not, while a standby cannot be seen
/// or stands still, and in `check`, which remembers nothing, scans are totals since a known reset of statistics; an index that
/// was made later may be judged too hard then. Of a standby that was promoted while it was watched nothing counts that is older:
/// others used the indexes of its primary. What was written since then is counted where that is known, else estimated from
/// what was written in the last hour or two. Source: PostgreSQL's chapter "The Cumulative Statistics System",
/// pg_stat_all_indexes and pg_stat_all_tables.
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

/// An index that is rarely used, with what was written to it.
struct Rare<'a> {
    facts: &'a IndexFacts,
    table: &'a TableFacts,
    counted: Counted,
}

/// What an index is.
enum Judged {
    Rare(Counted),
    UsedEnough,
    Unknown,
}

impl Rule for RarelyUsed {
    const ID: &'static str = "index.rarely_used";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let days = self.days(place, database)?;
        let totals = self.totals(place, database);
        let mut found = Found::default();
        let (mut rare, mut is_any_known) = (Vec::new(), false);
        let mut untold = None;
        for (index, facts, table) in seen_candidates(database) {
            let judged = match (
                days.and_then(|days| self.judged_by_days(days, index.oid)),
                &totals,
            ) {
                (Some(judged), _) => judged,
                // that is told by index.unused
                (None, _) if scans(index) == 0 => continue,
                (None, Ok(totals)) => self.judged_by_totals(totals, index, table),
                (None, Err(unknown)) => {
                    untold = Some(unknown);
                    found.undecided.push(subject(facts));
                    continue;
                }
            };
            is_any_known = true;
            match judged {
                Judged::Rare(counted) => rare.push(Rare {
                    facts,
                    table,
                    counted,
                }),
                Judged::UsedEnough => {}
                // a quiet hour is no quiet month
                Judged::Unknown => found.undecided.push(subject(facts)),
            }
        }
        match untold {
            Some(unknown) if !is_any_known => return Err(unknown.clone()),
            Some(unknown) => found.untold = Some(unknown.reason.clone()),
            None => {}
        }
        rare.sort_by(|a, b| {
            let by_entries = b.counted.entries.total_cmp(&a.counted.entries);
            let by_name = || (&a.facts.schema, &a.facts.name).cmp(&(&b.facts.schema, &b.facts.name));
            by_entries.then_with(by_name)
        });
        for one in &rare {
            let unknown = standbys::unknown_scans(place.observation, one.counted.scans_on_standbys);
            let untold = match (place.rehearsed(one.facts.oid), unknown) {
                (DropVerdict::Needed, _) => continue,
                (DropVerdict::Coming, _) => TO_BE_REHEARSED.to_owned(),
                (_, Some(unknown)) => unknown,
                (verdict, None) => {
                    let claim = || claim(place, one, &verdict);
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

/// The indexes that nothing but their use speaks for, with their tables.
pub fn candidates(catalog: &Catalog) -> Vec<(&IndexFacts, &TableFacts)> {
    let alike: HashSet<u32> = catalog.alike.iter().flatten().copied().collect();
    let indexes = catalog.indexes.values();
    let candidates = indexes.filter(|facts| is_candidate(facts, &alike));
    candidates
        .filter_map(|facts| Some((facts, catalog.tables.get(facts.table_oid)?)))
        .collect()
}

/// Those of them that were observed.
fn seen_candidates(database: &DatabaseObservation) -> Vec<(&IndexObservation, &IndexFacts, &TableFacts)> {
    let alike: HashSet<u32> = database.catalog.alike.iter().flatten().copied().collect();
    database
        .indexes_with_facts()
        .filter(|(_, facts)| is_candidate(facts, &alike))
        .filter_map(|(index, facts)| Some((index, facts, database.table_of(facts)?)))
        .collect()
}

fn is_candidate(facts: &IndexFacts, alike: &HashSet<u32>) -> bool {
    !unused::is_needed(facts)
        && !alike.contains(&facts.oid)
        && facts.foreign_keys.is_empty()
        && facts.foreign_keys_in_part.is_empty()
}

/// How little an index must be used to be named by one of several thresholds; none where none of them can be read.
pub fn little_use<'a>(all: impl Iterator<Item = &'a Value>) -> Option<LittleUse> {
    all.filter_map(|thresholds| RarelyUsed::deserialize(thresholds).ok())
        .map(|rule| rule.little())
        .reduce(LittleUse::or)
}

impl RarelyUsed {
    fn little(&self) -> LittleUse {
        LittleUse {
            min_age: self.min_age,
            max_scans: self.max_scans as f64,
            entries_per_scan: self.entries_per_scan,
        }
    }

    /// The days that are remembered, if they are enough. What standbys did that cannot be seen now is in totals alone.
    fn days<'a>(
        &self,
        place: &Place<'_>,
        database: &'a DatabaseObservation,
    ) -> Result<Option<&'a UseOverDays>, Unknown> {
        match &database.use_over_days {
            _ if place.observation.standbys_watched.unseen > 0 => Ok(None),
            OverDays::Unknown => Ok(None),
            OverDays::Coming => Err(Unknown::because(
                "needs what is remembered of the use of indexes, which is being read",
            )),
            OverDays::Known(days) => {
                let is_enough = days.window.seconds() >= self.min_age.as_seconds();
                Ok(is_enough.then_some(&**days))
            }
        }
    }

    /// None where the index was not counted on those days.
    fn judged_by_days(&self, days: &UseOverDays, oid: u32) -> Option<Judged> {
        Some(match days.of(oid)? {
            Used::Little(used) => self.judged(over_days(days, &used)),
            Used::Otherwise => Judged::UsedEnough,
        })
    }

    /// What is known of an index in full.
    fn judged(&self, counted: Counted) -> Judged {
        let little = self.little();
        let is_rare = little.is_seldom(counted.scans, counted.scans_in_30_days)
            && little.is_outweighed(counted.scans, counted.entries);
        match is_rare {
            true => Judged::Rare(counted),
            false => Judged::UsedEnough,
        }
    }

    fn judged_by_totals(&self, totals: &Totals<'_>, index: &IndexObservation, table: &TableFacts) -> Judged {
        let scans = scans(index);
        let scans_in_30_days = scans_in_30_days(scans, totals.age.seconds());
        if scans_in_30_days >= self.max_scans as f64 {
            return Judged::UsedEnough;
        }
        // its table was written to before it was there, and nobody knows how much
        if index.appeared_at.is_some_and(|at| at > totals.age.from) {
            return Judged::Unknown;
        }
        let enough = self.entries_per_scan * scans as f64;
        let over = totals.of_table(table.oid);
        match over.and_then(|delta| totals.written(&delta, enough)) {
            Some((entries, source)) => Judged::Rare(Counted {
                window: totals.age,
                scans,
                scans_on_standbys: index.scans_on_standbys,
                scans_in_30_days,
                entries,
                source,
            }),
            // counted, and too little
            None if over.is_some_and(|delta| totals.is_whole(&delta)) => Judged::UsedEnough,
            None => Judged::Unknown,
        }
    }

    /// Totals of scans and writes, if they are counted for long enough.
    fn totals<'a>(
        &self,
        place: &Place<'_>,
        database: &'a DatabaseObservation,
    ) -> Result<Totals<'a>, Unknown> {
        let since = database.counters_since.ok_or_else(|| {
            Unknown::because(
                "since when scans of indexes are counted is not known: no reset of statistics is",
            )
        })?;
        let now = place.observation.now;
        let promoted_at = place.observation.primary_since.filter(|at| *at > since);
        let since = promoted_at.unwrap_or(since);
        let missing = self.min_age.as_delta() - (now - since);
        if missing > TimeDelta::zero() {
            let days = (missing.num_hours() as f64 / 24.0).ceil().max(1.0);
            return Err(Unknown::because(format!(
                "immature: needs {} {}",
                plural(days as usize, "more day", "more days"),
                match promoted_at {
                    Some(_) => "as the primary: what was counted before it was promoted is that of a standby",
                    None => "without a reset of statistics",
                }
            )));
        }
        Ok(Totals {
            age: Window { from: since, to: now },
            activity: database.table_activity.as_ref().map_err(Clone::clone)?,
        })
    }
}

fn claim(place: &Place<'_>, rare: &Rare<'_>, verdict: &DropVerdict) -> Claim {
    let (facts, table, counted) = (rare.facts, rare.table, &rare.counted);
    let times = counted.entries / counted.scans.max(1) as f64;
    let counted_for = seconds_for_people(counted.window.seconds());
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
    counted.source.guard(&mut guards);
    let server = &place.observation.server;
    let may_be_of_a_standby =
        server.timeline.is_some_and(|timeline| timeline > 1) && counted.source != Source::Days;
    if may_be_of_a_standby && place.observation.primary_since.is_none() {
        guards.not_checked("when the server was promoted: until then its totals were those of a standby");
    }
    verdict.guard(&mut guards);
    // what the server counts itself began at another time, and would contradict those days
    let evidence_sql = (counted.source != Source::Days).then(|| totals_sql(facts));
    Claim {
        title: format!("{}.{} is rarely used and much written to", facts.schema, facts.name),
        explanation: format!(
            "In {counted_for} it was scanned {} times, and about {} entries were written to it: {} for each scan. It takes {}. \
             See whether the statements that use it need it.",
            count_for_people(counted.scans as f64),
            count_for_people(counted.entries),
            count_for_people(times),
            bytes_for_people(facts.size_bytes)
        ),
        evidence: evidence([
            ("scans", json!(counted.scans)),
            ("scans_on_standbys", json!(counted.scans_on_standbys.filter(|scans| standbys > 0 || *scans > 0))),
            ("scans_in_30_days", number(counted.scans_in_30_days)),
            ("entries_written", json!(counted.entries.round())),
            ("entries_written_per_scan", number(times)),
            ("size_bytes", json!(facts.size_bytes)),
            ("definition", json!(facts.definition)),
        ]),
        evidence_window: Some(counted.window),
        evidence_sql,
        impact: Impact {
            bytes: Some(facts.size_bytes),
            ..Impact::default()
        },
        confidence: guards.confidence(counted.source.reason()),
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

/// Shows what the server counts since its counters began.
fn totals_sql(facts: &IndexFacts) -> String {
    format!(
        "SELECT i.idx_scan, t.n_tup_ins, t.n_tup_upd - t.n_tup_hot_upd AS not_hot\n  FROM pg_stat_user_indexes AS i \
         JOIN pg_stat_user_tables AS t USING (relid) WHERE i.indexrelid = {}::regclass",
        quote_literal(&qualified(&facts.schema, &facts.name))
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::{DateTime, Utc};

    use super::*;
    use crate::model::advice::{Advised, Rehearsal, Rehearsals};
    use crate::model::index_days::CountedUse;
    use crate::model::observation::{Observation, TableActivity, TableDelta};
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
            new_page_updated: None,
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
            |facts| facts.foreign_keys = [70].into(),
            |facts| facts.foreign_keys_in_part = [70].into(),
        ];
        for change in needed {
            assert_eq!(count(&observed(10, 1_000_000, change)), (0, 0));
        }
    }

    #[test]
    fn what_was_built_while_its_totals_were_counted_is_undecided() {
        let mut built = observed(10, 1_000_000, |_| ());
        assert_eq!(count(&built), (1, 0));
        built.databases[0].indexes[0].appeared_at = Some(days_ago(3));
        assert_eq!(count(&built), (0, 1));
        built.databases[0].indexes[0].appeared_at = Some(days_ago(300));
        assert_eq!(count(&built), (1, 0), "before they began");
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
    fn what_was_counted_on_a_standby_before_its_promotion_is_not_judged() {
        let mut observed = observed(10, 1_000_000, |_| ());
        observed.databases[0].counters_since = Some(days_ago(90));
        assert_eq!(count(&observed), (1, 0));
        observed.primary_since = Some(days_ago(10));
        let reason = found::<RarelyUsed>(&observed).map(|_| ()).unwrap_err().reason;
        assert!(
            reason.starts_with("immature: needs 20 more days as the primary"),
            "{reason}"
        );
        observed.primary_since = Some(days_ago(40));
        let claim = &claims::<RarelyUsed>(&observed).unwrap()[0];
        assert_eq!(
            claim.evidence_window.map(|window| window.from),
            Some(days_ago(40))
        );
    }

    #[test]
    fn of_totals_that_may_be_of_a_standby_that_is_said() {
        let mut observed = observed(10, 1_000_000, |_| ());
        let mut is_said = |timeline: Option<i64>, primary_since: Option<DateTime<Utc>>| {
            (observed.server.timeline, observed.primary_since) = (timeline, primary_since);
            let guards = &claims::<RarelyUsed>(&observed).unwrap()[0].guards;
            guards.iter().any(|guard| guard.contains("was promoted"))
        };
        assert!(is_said(Some(2), None));
        assert!(!is_said(Some(1), None));
        assert!(!is_said(None, None));
        assert!(!is_said(Some(2), Some(days_ago(30))), "when it was is known");
    }

    /// An index whose scans are counted anew since an hour ago, with what is remembered of so many days.
    fn after_a_reset(days: i64, little: Vec<(u32, CountedUse)>, others: Vec<u32>) -> Observation {
        let mut observed = observed(1, 0, |_| ());
        let database = &mut observed.databases[0];
        database.counters_since = Some(now() - TimeDelta::hours(1));
        let window = Window {
            from: days_ago(days),
            to: now(),
        };
        let days = UseOverDays::new(window, days as f64 * 86_400.0, little, others);
        database.use_over_days = OverDays::Known(Arc::new(days));
        observed
    }

    #[test]
    fn what_the_days_do_not_count_is_judged_by_totals() {
        let reason = |observed: &Observation| found::<RarelyUsed>(observed).map(|_| ()).unwrap_err().reason;
        assert_eq!(count(&after_a_reset(60, vec![], vec![9])), (0, 0), "used enough");
        let young = after_a_reset(60, vec![], vec![]);
        assert!(reason(&young).starts_with("immature"));
        let mut coming = observed(10, 1_000_000, |_| ());
        assert_eq!(count(&coming), (1, 0));
        coming.databases[0].use_over_days = OverDays::Coming;
        assert!(
            reason(&coming).starts_with("needs"),
            "no finding comes and goes with them"
        );
    }

    #[test]
    fn where_a_standby_cannot_be_seen_the_days_do_not_count() {
        let used = CountedUse {
            scans: 10,
            scans_on_standbys: 0,
            entries: 1_000_000.0,
        };
        let mut observed = after_a_reset(60, vec![(9, used)], vec![]);
        observed.databases[0].counters_since = Some(days_ago(30));
        observed.databases[0].table_activity = Ok(vec![inserted(days_ago(30), 1_000_000)]);
        assert_eq!(count(&observed), (1, 0));
        observed.standbys_watched.unseen = 1;
        observed.databases[0].indexes[0].scans_on_standbys = Some(50_000);
        assert_eq!(count(&observed), (0, 0), "it scanned it until an hour ago");
        observed.databases[0].counters_since = Some(now() - TimeDelta::hours(1));
        let reset = found::<RarelyUsed>(&observed).map(|_| ());
        assert!(reset.is_err(), "nobody knows how often");
        observed.databases[0].use_over_days = OverDays::Coming;
        let reason = found::<RarelyUsed>(&observed).map(|_| ()).unwrap_err().reason;
        assert!(reason.starts_with("immature"), "nothing is waited for: {reason}");
    }

    #[test]
    fn days_that_are_remembered_are_judged_over_a_reset_of_statistics() {
        let judged = |days: i64, scans: i64, scans_on_standbys: i64, entries: f64| {
            let used = CountedUse {
                scans,
                scans_on_standbys,
                entries,
            };
            found::<RarelyUsed>(&after_a_reset(days, vec![(9, used)], vec![]))
        };
        let count = |scans: i64, there: i64, entries: f64| {
            let found = judged(60, scans, there, entries).unwrap();
            (found.claims.len(), found.undecided.len())
        };
        assert_eq!(count(10, 0, 1_001.0), (1, 0));
        assert_eq!(count(10, 0, 1_000.0), (0, 0), "counted, and too little");
        assert_eq!(count(10, 1, 1_100.0), (0, 0), "eleven scans");
        assert_eq!(count(1_999, 0, 1e9), (1, 0));
        assert_eq!(count(2_000, 0, 1e9), (0, 0), "1000 in 30 days");
        assert_eq!(count(0, 0, 1e9), (0, 0), "that is index.unused's");
        let young = judged(29, 10, 0, 1e9).map(|_| ()).unwrap_err();
        assert!(young.reason.starts_with("immature"), "{}", young.reason);
        let claim = judged(60, 10, 5, 1e9).unwrap().claims.remove(0);
        assert_eq!(
            claim.evidence_window.map(|window| window.from),
            Some(days_ago(60))
        );
        assert_eq!(claim.evidence["scans"], json!(15));
        assert_eq!(claim.evidence_sql, None, "the server counts since an hour ago");
        assert!(
            claims::<RarelyUsed>(&observed(10, 1_001, |_| ())).unwrap()[0]
                .evidence_sql
                .is_some()
        );
        assert!(
            claim
                .guards
                .iter()
                .any(|guard| guard.starts_with("it was there all that time"))
        );
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
        let stopped_for = |hours: i64| {
            let mut stopped = Advised::default();
            stopped.report.workload.was_stopped = true;
            stopped.unfinished_since = Some(now() - TimeDelta::hours(hours));
            Rehearsals::Known(Arc::new(stopped))
        };
        observed.databases[0].rehearsals = stopped_for(24);
        assert_eq!(count(&observed), (0, 1));
        observed.databases[0].rehearsals = stopped_for(25);
        assert_eq!(count(&observed), (1, 0), "nobody waits for ever");
        let told = found::<RarelyUsed>(&observed).unwrap().claims;
        assert!(
            told[0]
                .guards
                .iter()
                .any(|guard| guard.contains("not rehearsed: "))
        );
        observed.server.is_standby = true;
        assert!(found::<RarelyUsed>(&observed).is_err());
    }
}
