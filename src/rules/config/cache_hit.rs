//! config.cache_hit

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Object, ObjectKind, Severity};
use crate::model::observation::{BlockReads, Observation, Unknown};
use crate::model::remedy::{Remedy, quote_literal};
use crate::model::unit::{Period, Size, bytes_for_people, seconds_for_people};
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence, number};

/// A database that finds too few of the blocks that it needs in `shared_buffers`, over a whole day.
///
/// ## Why it is bad
/// What is not in `shared_buffers` is asked of the operating system, which has it in its own cache or reads it from
/// disk. The first costs a little more than a hit, the second a hundred times more. Much reading means that memory is
/// small for what is asked, or that statements read far more than they need.
///
/// ## What to do
/// Look at the statements that read most first: an index that is missing makes one read a whole table each time, and
/// pushes everything else out of memory. Then look at `shared_buffers` and at the RAM. `track_io_timing` tells
/// whether the reads take time at all.
///
/// ## When it is wrong to obey
/// Where large tables are read as a whole by design: reports, exports, backups by SQL. They go through a small ring
/// of buffers, and no memory makes hits of them. Where the operating system has the blocks in its cache, which
/// PostgreSQL cannot see, little is lost. A high ratio proves nothing either: a statement that reads the same million
/// blocks each time has 100 %.
///
/// A server that was started less than a day ago is not judged: its memory is still being filled. Judged from our own
/// looks over a day, or from totals since a known reset. Blocks are counted for the database as a whole: which tables were read
/// is not watched. Source: PostgreSQL's chapter "The Cumulative Statistics
/// System", pg_stat_database.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheHit {
    /// Share of the blocks, 0 to 1, that must be found in shared_buffers.
    least_ratio: f64,
    /// What must be read in a day before this matters.
    least_read: Size,
    /// How long it must have been watched, and how long the server must have run.
    window: Period,
}

impl Default for CacheHit {
    fn default() -> Self {
        Self {
            least_ratio: 0.99,
            least_read: Size::gigabytes(1),
            window: Period::days(1),
        }
    }
}

/// The statements that are named.
const STATEMENTS_NAMED: usize = 3;

impl Rule for CacheHit {
    const ID: &'static str = "config.cache_hit";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let database = place.database()?;
        let observation = place.observation;
        let runs_for = (observation.now - observation.server.started_at).num_milliseconds() as f64 / 1000.0;
        if runs_for < self.window.as_seconds() {
            return Err(Unknown::because(format!(
                "needs {} since the server was started, which is {} ago: its cache is still cold",
                self.window,
                seconds_for_people(runs_for.max(0.0)),
            )));
        }
        let of_database = |reads: &&BlockReads| reads.database == database.name;
        let reads = observation.block_reads.iter().find(of_database).ok_or_else(|| {
            Unknown::because("needs two looks, or a known reset, to tell how this database finds its blocks")
        })?;
        let seconds = reads.window.seconds();
        if seconds < self.window.as_seconds() {
            return Err(Unknown::because(format!(
                "immature: needs {} without a reset of statistics, and has {}",
                self.window,
                seconds_for_people(seconds)
            )));
        }
        let block_size = observation
            .server
            .setting_number("block_size")
            .ok_or_else(|| Unknown::because("block_size could not be read"))?;
        let read_bytes = reads.read as f64 * block_size;
        let read_bytes_per_day = read_bytes / seconds.max(1.0) * 86_400.0;
        let all = (reads.hit + reads.read) as f64;
        if read_bytes_per_day <= self.least_read.bytes as f64 || reads.hit as f64 >= self.least_ratio * all {
            return Ok(Found::default());
        }
        let claim = claim(place, reads, read_bytes_per_day);
        Ok(Found {
            claims: vec![claim],
            ..Found::default()
        })
    }
}

/// The statements of a database that read most, of those that are known.
fn readers(observation: &Observation, database: &str) -> Vec<String> {
    let Ok(activity) = &observation.statements else {
        return Vec::new();
    };
    let of_database = activity
        .statements
        .iter()
        .filter(|statement| statement.database == database);
    let mut reading: Vec<_> = of_database
        .filter(|statement| statement.shared_blocks_read > 0)
        .collect();
    reading.sort_by(|a, b| {
        let by_blocks = b.shared_blocks_read.cmp(&a.shared_blocks_read);
        by_blocks.then_with(|| a.text.statement_id.cmp(&b.text.statement_id))
    });
    let told = reading.iter().take(STATEMENTS_NAMED).map(|statement| {
        format!(
            "{}: {} blocks read, {} calls",
            crate::sql::outline(&statement.text.text),
            statement.shared_blocks_read,
            statement.calls
        )
    });
    told.collect()
}

fn claim(place: &Place<'_>, reads: &BlockReads, read_bytes_per_day: f64) -> Claim {
    let observation = place.observation;
    let name = &reads.database;
    let ratio = reads.hit as f64 / (reads.hit + reads.read).max(1) as f64;
    let readers = readers(observation, name);
    let object = Object {
        kind: ObjectKind::Database,
        schema: None,
        name: name.clone(),
        table: None,
    };
    let per_day = bytes_for_people(read_bytes_per_day);
    let mut guards = Guards::default();
    guards.checked("the server ran for that long, so that its cache was filled");
    guards.checked("enough was read that it matters");
    guards.not_checked("which tables: how each of them finds its blocks is not watched");
    Claim {
        title: format!(
            "{name}: {:.1} % of the blocks were not in shared_buffers",
            (1.0 - ratio) * 100.0
        ),
        explanation: format!(
            "Over {} statements in {name} asked the operating system for {per_day} a day that were not in shared_buffers; {:.2} % of \
             all blocks were there. Whether the system had them in its cache is not known. Look at the statements that read \
             most for indexes that are missing, then at shared_buffers and the RAM.",
            seconds_for_people(reads.window.seconds()),
            ratio * 100.0
        ),
        evidence: evidence([
            ("hit_ratio", number(ratio)),
            ("blocks_hit", json!(reads.hit)),
            ("blocks_read", json!(reads.read)),
            ("read_bytes_per_day", json!(read_bytes_per_day.round())),
            (
                "shared_buffers_bytes",
                json!(observation.server.setting_bytes("shared_buffers")),
            ),
            ("statements_that_read_most", json!((!readers.is_empty()).then_some(&readers))),
        ]),
        evidence_window: Some(reads.window),
        evidence_sql: Some(format!(
            "SELECT blks_hit, blks_read, round(100.0 * blks_hit / nullif(blks_hit + blks_read, 0), 2) AS hit_percent, stats_reset\n  \
             FROM pg_stat_database WHERE datname = {}",
            quote_literal(name)
        )),
        confidence: guards.confidence("counted by pg_stat_database over the window"),
        remedy: Remedy {
            caveats: vec![
                "First look at the statements that read most: an index often spares more than memory does.".to_owned(),
                "Which tables were read most, since their counters began: SELECT relid::regclass, heap_blks_read, idx_blks_read \
                 FROM pg_statio_user_tables ORDER BY heap_blks_read + coalesce(idx_blks_read, 0) DESC LIMIT 10."
                    .to_owned(),
                "With track_io_timing on, pg_stat_database tells how long the reads took (blk_read_time): where that is little \
                 the operating system had them, and nothing needs to be done."
                    .to_owned(),
            ],
            ..Remedy::default()
        },
        guards: guards.told(),
        ..place.claim(CacheHit::ID, Severity::Info, Vec::new(), Some(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    use crate::model::finding::{ConfidenceLevel, Window};
    use crate::model::observation::StatementActivity;
    use crate::rules::testing::{claims, database, now, set, statement};

    /// The database `app` with so many blocks hit and read in so many hours.
    fn observed(hit: i64, read: i64, hours: i64) -> Observation {
        let mut observed = database(vec![]);
        set(&mut observed, "block_size", "8192");
        let reads = |database: &str, hit: i64, read: i64| BlockReads {
            database: database.into(),
            window: Window {
                from: now() - TimeDelta::hours(hours),
                to: now(),
            },
            hit,
            read,
        };
        observed.block_reads = vec![reads("other", 0, 10_000_000), reads("app", hit, read)];
        observed
    }

    /// Blocks of a gigabyte, and one more.
    const ENOUGH: i64 = 122_071;

    fn count(observed: &Observation) -> usize {
        claims::<CacheHit>(observed).unwrap().len()
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        assert_eq!(count(&observed(99 * ENOUGH, ENOUGH, 24)), 0, "just 99 %");
        assert_eq!(count(&observed(99 * ENOUGH - 1, ENOUGH, 24)), 1);
        assert_eq!(count(&observed(0, ENOUGH - 1, 24)), 0, "less than a gigabyte");
        assert_eq!(count(&observed(0, ENOUGH, 24)), 1);
        assert_eq!(count(&observed(0, ENOUGH, 48)), 0, "half of it a day");
        assert_eq!(count(&observed(0, 2 * ENOUGH, 48)), 1);
        assert_eq!(count(&observed(0, 0, 24)), 0, "nobody asked for anything");
    }

    #[test]
    fn less_than_a_day_is_not_judged() {
        let unknown = claims::<CacheHit>(&observed(0, ENOUGH, 23)).unwrap_err();
        assert!(
            unknown.reason.contains("needs 1 day without a reset"),
            "{}",
            unknown.reason
        );
        let mut cold = observed(0, ENOUGH, 24);
        cold.server.started_at = now() - TimeDelta::hours(24);
        assert_eq!(count(&cold), 1);
        cold.server.started_at = now() - TimeDelta::hours(23);
        assert!(
            claims::<CacheHit>(&cold)
                .unwrap_err()
                .reason
                .contains("still cold")
        );
    }

    #[test]
    fn what_was_not_read_is_unknown() {
        let mut unread = observed(0, ENOUGH, 24);
        unread.server.settings.clear();
        assert!(
            claims::<CacheHit>(&unread)
                .unwrap_err()
                .reason
                .contains("block_size")
        );
        unread.block_reads.truncate(1);
        assert!(
            claims::<CacheHit>(&unread)
                .unwrap_err()
                .reason
                .contains("needs two looks")
        );
    }

    #[test]
    fn who_reads_most_is_named() {
        let mut observed = observed(0, ENOUGH, 24);
        assert!(
            claims::<CacheHit>(&observed).unwrap()[0]
                .evidence
                .get("statements_that_read_most")
                .is_none()
        );
        let reading = |text: &str, blocks: i64| {
            let mut statement = statement(text, 7, 1.0);
            statement.shared_blocks_read = blocks;
            statement
        };
        let mut elsewhere = reading("SELECT 5 FROM e", 900);
        elsewhere.database = "other".into();
        observed.statements = Ok(StatementActivity {
            statements: vec![
                reading("SELECT 1 FROM a", 10),
                reading("SELECT 2 FROM b", 30),
                reading("SELECT 3 FROM c", 0),
                elsewhere,
            ],
            ..StatementActivity::default()
        });
        let claim = claims::<CacheHit>(&observed).unwrap().remove(0);
        assert_eq!(
            claim.evidence["statements_that_read_most"],
            json!([
                "SELECT 2 FROM b: 30 blocks read, 7 calls",
                "SELECT 1 FROM a: 10 blocks read, 7 calls"
            ])
        );
        assert_eq!((claim.database.as_deref(), claim.subject.len()), (Some("app"), 0));
        assert!(
            claim
                .guards
                .iter()
                .any(|guard| guard.starts_with("not checked: which tables"))
        );
        assert_eq!(claim.confidence.level, ConfidenceLevel::Estimated);
    }
}
