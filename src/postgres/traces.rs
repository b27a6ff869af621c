//! What planning leaves behind where its login may not switch that off: the planner probes the ends of indexes, which counts
//! as scans of them, and every text that is planned becomes an entry of pg_stat_statements. The first is counted, so that it
//! can be subtracted; of the second there is only so much a day.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_postgres::{Client, Row};

use super::bound::all_rows;
use super::handle::{BACK, BEGIN, ROLLBACK, SAVEPOINT};
use super::session::OurSql;
use crate::limits;
use crate::model::own_planning::{OwnScans, PlannedText};

/// A text counts for so long.
const DAY: TimeDelta = TimeDelta::hours(24);
/// With more relations than these a reading, which passes over all of them, would take longer than most plans.
const RELATIONS: f64 = 50_000.0;
/// A reading takes no longer, or its server has other troubles.
const READING: Duration = Duration::from_secs(5);
/// What pg_stat_statements holds by default.
const ENTRIES: usize = 5_000;

/// What planning left behind, of one server or one session. A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Traces(Arc<Mutex<Left>>);

#[derive(Debug, Default)]
struct Left {
    /// By database and OID, since they were last taken.
    scans: BTreeMap<(String, u32), OwnScans>,
    /// Plannings of which nobody knows what they counted.
    unread: u64,
    /// Whether the last session counted scans.
    counts_scans: bool,
    /// The texts of the last day, by hash, and when each was planned first.
    texts: BTreeMap<i64, DateTime<Utc>>,
    /// How many there may be, where the last session fills pg_stat_statements.
    texts_a_day: Option<usize>,
    /// Whether there are texts that were not told yet.
    has_new_texts: bool,
}

impl Traces {
    fn left(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session begins that leaves this behind.
    pub(super) fn begin(&self, counts_scans: bool, texts_a_day: Option<usize>) {
        let mut left = self.left();
        (left.counts_scans, left.texts_a_day) = (counts_scans, texts_a_day);
    }

    /// The scans of indexes that were counted since this was last asked, with their databases.
    pub fn take_scans(&self) -> Vec<(String, OwnScans)> {
        let scans = std::mem::take(&mut self.left().scans);
        scans
            .into_iter()
            .map(|((database, _), own)| (database, own))
            .collect()
    }

    /// Of how many plannings nobody knows what they counted, since their session was lost, or it could not be read.
    pub fn unread(&self) -> u64 {
        self.left().unread
    }

    /// Whether planning counts as scans of indexes, as far as is known.
    pub fn counts_scans(&self) -> bool {
        self.left().counts_scans
    }

    /// Where planning fills pg_stat_statements, how many texts were planned within a day, and how many may be.
    pub fn texts(&self) -> Option<(usize, usize)> {
        let left = self.left();
        left.texts_a_day.map(|most| (left.texts.len(), most))
    }

    /// Takes in the texts that were planned before.
    pub fn remember_texts(&self, texts: &[PlannedText]) {
        let known = texts.iter().map(|text| (text.hash, text.planned_at));
        self.left().texts.extend(known);
    }

    /// The texts of the last day, if that is not what was told last.
    pub fn take_texts(&self) -> Option<Vec<PlannedText>> {
        let mut left = self.left();
        std::mem::take(&mut left.has_new_texts).then(|| {
            let texts = left.texts.iter();
            texts
                .map(|(hash, planned_at)| PlannedText {
                    hash: *hash,
                    planned_at: *planned_at,
                })
                .collect()
        })
    }

    /// What was told of texts could not be written down: it is told again.
    pub fn tell_texts_again(&self) {
        let mut left = self.left();
        left.has_new_texts = !left.texts.is_empty();
    }

    /// Whether a text may be planned at that time, where so many may be within a day; then it counts as planned.
    pub(super) fn may_plan(&self, text: &str, most: usize, now: DateTime<Utc>) -> bool {
        let mut left = self.left();
        // of what was planned in the future the clock was wrong
        left.texts
            .retain(|_, at| (TimeDelta::zero()..DAY).contains(&(now - *at)));
        let hash = hash(text);
        if left.texts.contains_key(&hash) {
            return true;
        }
        let is_one_left = left.texts.len() < most;
        if is_one_left {
            left.texts.insert(hash, now);
            left.has_new_texts = true;
        }
        is_one_left
    }

    fn add(&self, database: &str, counted: Vec<OwnScans>) {
        let scans = &mut self.left().scans;
        for own in counted {
            let known = scans.entry((database.to_owned(), own.oid));
            known.and_modify(|known| known.add(&own)).or_insert(own);
        }
    }
}

/// How many texts may be planned within a day where pg_stat_statements holds so many entries.
pub(super) fn texts_a_day(entries: Option<i32>) -> usize {
    let entries = entries.and_then(|entries| usize::try_from(entries).ok());
    (entries.unwrap_or(ENTRIES) / limits::ENTRIES_PER_PLANNED_TEXT).max(1)
}

/// The same for as long as stores live.
fn hash(text: &str) -> i64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..8]);
    i64::from_le_bytes(first)
}

/// How the scans that planning counts are read, and where they are added up.
#[derive(Clone, Copy)]
pub(super) struct Counting<'a> {
    pub(super) traces: &'a Traces,
    pub(super) database: &'a str,
    /// `None` where reading takes too long, so that nobody knows what planning counts.
    pub(super) sql: Option<OurSql>,
}

impl Counting<'_> {
    /// How long its readings may take beside the planning.
    pub(super) fn patience(&self) -> Duration {
        match self.sql {
            Some(_) => 2 * READING,
            None => Duration::ZERO,
        }
    }
}

/// Whether scans are read twice a plan where pg_class has so many rows, as far as that is known.
pub(super) fn may_be_read(relations: Option<f64>) -> bool {
    relations.is_none_or(|relations| relations <= RELATIONS)
}

/// A planning of which nobody knows yet what it counted: however it ends, that is told when this is dropped.
struct Reading<'a> {
    counting: Counting<'a>,
    is_read: bool,
}

impl Reading<'_> {
    fn read(mut self, before: &[Row], after: &[Row]) {
        if let (Some(before), Some(after)) = (scans_of(before), scans_of(after)) {
            let counting = self.counting;
            counting.traces.add(counting.database, counted(&before, after));
            self.is_read = true;
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if !self.is_read {
            self.counting.traces.left().unread += 1;
        }
    }
}

/// None where the rows cannot be read.
fn scans_of(rows: &[Row]) -> Option<Vec<OwnScans>> {
    let own = |row: &Row| -> Option<OwnScans> {
        let at = row.try_get("at").ok()?;
        Some(OwnScans {
            oid: row.try_get("oid").ok()?,
            schema: row.try_get("schema").ok()?,
            name: row.try_get("name").ok()?,
            scans: row.try_get("scans").ok()?,
            first_at: at,
            last_at: at,
            scanned_before: row.try_get("last_scan_at").ok()?,
        })
    };
    rows.iter().map(own).collect()
}

/// What was counted between two readings within one transaction: until its end a session keeps it to itself, so that nothing
/// but what was there before is to be taken off. From 15 that may be of transactions before.
fn counted(before: &[OwnScans], after: Vec<OwnScans>) -> Vec<OwnScans> {
    let known: BTreeMap<u32, i64> = before.iter().map(|own| (own.oid, own.scans)).collect();
    let more = after.into_iter().map(|own| OwnScans {
        scans: own.scans - known.get(&own.oid).copied().unwrap_or(0),
        ..own
    });
    more.filter(|own| own.scans > 0).collect()
}

/// What is sent behind the transaction of a planning.
#[derive(Clone, Copy)]
pub(super) enum Then<'a> {
    /// Nothing.
    Nothing,
    /// This, together with all that comes before it: one round trip.
    AtOnce(&'static str),
    /// This, once the planning is answered, and only if something was made that it is for: for anything else the server would
    /// write one more error into its log.
    IfMade(&'static str, &'a AtomicBool),
}

impl Then<'_> {
    fn sql(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::AtOnce(sql) => Some(sql),
            Self::IfMade(sql, is_made) => is_made.load(Ordering::Relaxed).then_some(sql),
        }
    }

    /// Two that are sent together and in this order, or the second when the first is answered.
    async fn in_order<A, B>(self, first: impl Future<Output = A>, second: impl Future<Output = B>) -> (A, B) {
        match self {
            Self::IfMade(..) => (first.await, second.await),
            Self::Nothing | Self::AtOnce(_) => tokio::join!(biased; first, second),
        }
    }
}

/// Plans within a transaction that is rolled back, and sends what comes after it. Where scans are counted, they are read and
/// added up before the transaction ends: from then on others may see them.
pub(super) async fn in_transaction<T>(
    client: &Client,
    counting: Option<Counting<'_>>,
    planning: impl Future<Output = Result<T, tokio_postgres::Error>>,
    then: Then<'_>,
) -> Result<T, tokio_postgres::Error> {
    let ending = async {
        let (ended, then) = tokio::join!(
            biased;
            client.batch_execute(ROLLBACK),
            async {
                match then.sql() {
                    None => Ok(()),
                    Some(sql) => client.batch_execute(sql).await,
                }
            },
        );
        ended.and(then)
    };
    let reading = counting.and_then(|counting| {
        // dropped where nothing is read, which tells that
        let reading = Reading {
            counting,
            is_read: false,
        };
        counting.sql.map(|sql| (reading, sql.text))
    });
    let Some((reading, sql)) = reading else {
        // in this order: what comes after an error is refused, and rolled back
        let planning = async { tokio::join!(biased; client.batch_execute(BEGIN), planning) };
        let ((begun, planned), ended) = then.in_order(planning, ending).await;
        return begun.and(planned).and_then(|answer| ended.map(|()| answer));
    };
    // a reading that fails must not keep the planning from being done: it is only told as unread
    let planning = async {
        tokio::join!(
            biased;
            client.batch_execute(BEGIN),
            client.batch_execute(SAVEPOINT),
            all_rows(client, sql, &[]),
            client.batch_execute(BACK),
            planning,
        )
    };
    let behind = async { tokio::join!(biased; client.batch_execute(BACK), all_rows(client, sql, &[])) };
    let ((begun, kept, before, returned, planned), (back, after)) = then.in_order(planning, behind).await;
    let moved = [&kept, &returned, &back];
    if let (true, Ok(before), Ok(after)) = (moved.iter().all(|one| one.is_ok()), &before, &after) {
        reading.read(before, after);
    }
    let ended = ending.await;
    let answer = begun.and(kept).and(planned);
    answer.and_then(|answer| ended.map(|()| answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::own_planning::testing::own_scans;
    use crate::model::snapshot::StatementKind;
    use crate::sql::identify;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + 3600 * hours, 0).unwrap()
    }

    fn own(oid: u32, scans: i64, hours: i64) -> OwnScans {
        own_scans(oid, scans, at(hours))
    }

    #[test]
    fn what_is_sent_beside_our_statements_is_known_as_ours() {
        for sql in [SAVEPOINT, BACK] {
            assert_eq!(identify(sql).kind, StatementKind::Own, "{sql}");
        }
    }

    #[tokio::test]
    async fn what_is_for_something_made_is_sent_once_that_is_known() {
        let is_made = AtomicBool::new(false);
        let then = Then::IfMade(BACK, &is_made);
        assert_eq!(then.sql(), None, "nothing was made");
        // the first one needs a second turn, as what waits for an answer does
        let made = async {
            tokio::task::yield_now().await;
            is_made.store(true, Ordering::Relaxed);
        };
        assert_eq!(then.in_order(made, async { then.sql() }).await.1, Some(BACK));
        is_made.store(false, Ordering::Relaxed);
        let made = async {
            tokio::task::yield_now().await;
            is_made.store(true, Ordering::Relaxed);
        };
        let seen = async { is_made.load(Ordering::Relaxed) };
        let at_once = Then::AtOnce(BACK).in_order(made, seen).await;
        assert!(!at_once.1, "both are sent before either is answered");
        assert_eq!(
            (Then::AtOnce(BACK).sql(), Then::Nothing.sql()),
            (Some(BACK), None)
        );
    }

    #[test]
    fn only_what_was_counted_meanwhile_is_added_up() {
        let before = [own(7, 3, 0), own(9, 2, 0)];
        let after = vec![own(7, 5, 1), own(8, 1, 1), own(9, 2, 1)];
        let meanwhile = counted(&before, after);
        let numbers =
            |own: &[OwnScans]| -> Vec<(u32, i64)> { own.iter().map(|own| (own.oid, own.scans)).collect() };
        assert_eq!(numbers(&meanwhile), [(7, 2), (8, 1)]);
        let traces = Traces::default();
        traces.add("d", meanwhile);
        traces.add("d", vec![own(7, 4, 2)]);
        traces.add("e", vec![own(7, 1, 2)]);
        let taken = traces.take_scans();
        let of = |database: &str| -> Vec<OwnScans> {
            let own = taken.iter().filter(|(name, _)| name == database);
            own.map(|(_, own)| own.clone()).collect()
        };
        assert_eq!(numbers(&of("d")), [(7, 6), (8, 1)]);
        assert_eq!((of("d")[0].first_at, of("d")[0].last_at), (at(1), at(2)));
        assert_eq!(numbers(&of("e")), [(7, 1)]);
        assert!(traces.take_scans().is_empty(), "told once");
    }

    #[test]
    fn a_planning_that_was_not_read_is_told_as_one() {
        let traces = Traces::default();
        let reading = |traces| Reading {
            counting: Counting {
                traces,
                database: "d",
                sql: Some(super::super::queries::PLANNER),
            },
            is_read: false,
        };
        reading(&traces).read(&[], &[]);
        assert_eq!(traces.unread(), 0);
        drop(reading(&traces));
        assert_eq!(traces.unread(), 1);
        let (few, many) = (may_be_read(Some(400.0)), may_be_read(Some(60_000.0)));
        assert_eq!((few, may_be_read(None), many), (true, true, false));
        let without = Counting {
            sql: None,
            ..reading(&traces).counting
        };
        assert!(without.patience() < reading(&traces).counting.patience());
    }

    #[test]
    fn so_many_texts_are_planned_within_a_day_also_after_a_restart() {
        assert_eq!(
            (texts_a_day(Some(5_000)), texts_a_day(None), texts_a_day(Some(10))),
            (100, 100, 1)
        );
        let traces = Traces::default();
        let may = |traces: &Traces, text: &str, hour: i64| traces.may_plan(text, 2, at(hour));
        assert!(may(&traces, "a", 0) && may(&traces, "b", 20));
        assert!(may(&traces, "a", 21), "it is an entry already");
        assert!(!may(&traces, "c", 23), "two are enough");
        let known = traces.take_texts().unwrap();
        assert_eq!((known.len(), traces.take_texts()), (2, None));
        let after = Traces::default();
        after.remember_texts(&known);
        assert!(!may(&after, "c", 23));
        assert!(may(&after, "c", 24), "a day after the first");
        assert!(!may(&after, "a", 25), "b and c are of this day");
        traces.tell_texts_again();
        assert_eq!(traces.take_texts(), Some(known));
    }
}
