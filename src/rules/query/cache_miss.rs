//! query.cache_miss

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Evidence, Severity};
use crate::model::observation::{StatementActivity, StatementDelta, Unknown};
use crate::model::remedy::Remedy;
use crate::model::unit::{Period, Size, bytes_for_people, seconds_for_people};
use crate::rules::statements;
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence, number};

/// A statement that finds few of its blocks in shared_buffers, and makes a large part of all reads.
///
/// ## Why it is bad
/// A block that is not in shared_buffers is asked of the operating system: at best from its cache, at worst from the disk, a
/// hundred times slower. What is read takes the place of what other statements need.
///
/// ## What to do
/// First read less: an index that leads to the rows, fewer columns in an index-only scan, a partition that leaves the rest
/// out. More memory is the last thing to try.
///
/// ## When it is wrong to obey
/// A report over a table that is larger than the memory reads it from the disk each time, whatever is done. PostgreSQL reads
/// tables of more than a quarter of shared_buffers through a small ring of blocks, so that they never stay there.
/// What is counted as read may have come from the cache of the operating system, which costs little.
///
/// Nothing is said in the first hour of a server, whose memory is still empty. What a daemon finds in totals that began before
/// its first look may have been over by then, and is info. Sources: PostgreSQL's chapters
/// "pg_stat_statements" and "Resource Consumption".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheMiss {
    /// The part of its blocks, 0 to 1, that it must have read.
    warning_read_ratio: f64,
    /// The part of what all queries read, 0 to 1, that it must have read.
    warning_reads_share: f64,
    /// What it must have read in the window.
    min_read: Size,
    /// Nothing is said for so long after a start of the server.
    after_start: Period,
}

impl Default for CacheMiss {
    fn default() -> Self {
        Self {
            warning_read_ratio: 0.2,
            warning_reads_share: 0.1,
            min_read: Size { bytes: 100_000_000 },
            after_start: Period::minutes(60),
        }
    }
}

/// What a statement read.
struct Reads {
    bytes: f64,
    /// Of its own blocks.
    ratio: f64,
    /// Of what all queries read.
    share: f64,
    block_bytes: f64,
}

impl Rule for CacheMiss {
    const ID: &'static str = "query.cache_miss";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let activity = statements::activity(place)?;
        let server = &place.observation.server;
        let block_bytes = server
            .setting_number("block_size")
            .ok_or_else(|| Unknown::because("block_size could not be read"))?;
        let up = place.observation.now - server.started_at;
        if up < self.after_start.as_delta() {
            return Err(Unknown::because(format!(
                "needs {} since the server started, which is {} ago: its memory is still filling",
                self.after_start,
                seconds_for_people(up.num_seconds().max(0) as f64)
            )));
        }
        let mut found = Found {
            // what share of all reads it has is not told by a statement that is not known
            absence_is_no_proof: activity.absence_is_no_proof(|hidden| {
                hidden.shared_blocks_read as f64 * block_bytes >= self.min_read.bytes as f64
            }),
            ..Found::default()
        };
        let all: i64 = activity.statements.iter().map(|one| one.shared_blocks_read).sum();
        for statement in &activity.statements {
            let read = statement.shared_blocks_read as f64;
            let touched = read + statement.shared_blocks_hit as f64;
            let reads = Reads {
                bytes: read * block_bytes,
                ratio: read / touched.max(1.0),
                share: read / (all as f64).max(1.0),
                block_bytes,
            };
            let is_much = reads.bytes >= self.min_read.bytes as f64
                && reads.ratio >= self.warning_read_ratio
                && reads.share >= self.warning_reads_share;
            if is_much {
                found.claims.push(self.claim(place, activity, statement, &reads));
            }
        }
        Ok(found)
    }
}

impl CacheMiss {
    fn claim(
        &self,
        place: &Place<'_>,
        activity: &StatementActivity,
        statement: &StatementDelta,
        reads: &Reads,
    ) -> Claim {
        let own = numbers(place, statement, reads);
        let guards = self.guards(place, activity);
        let mut claim = statements::claim(place, Self::ID, Severity::Warning, activity, statement, own);
        claim.title = format!(
            "{} reads {:.0} % of its blocks from outside of shared_buffers",
            crate::sql::outline(&statement.text.text),
            reads.ratio * 100.0
        );
        claim.explanation = format!(
            "It read {} in the window, {} each call: {:.0} % of the blocks that it needed, and {:.0} % of what all queries of the \
             watched databases read. Reading is slow, and pushes out what others need. See whether an index or a narrower \
             statement lets it read less, before memory is added.",
            bytes_for_people(reads.bytes),
            bytes_for_people(reads.bytes / statement.calls.max(1) as f64),
            reads.ratio * 100.0,
            reads.share * 100.0,
        );
        claim.remedy = remedy();
        if activity.evictions == 0 {
            claim.confidence = guards.confidence("counted by pg_stat_statements over the window");
        }
        claim.guards.extend(guards.told());
        // its time went on, which does not say that it still reads
        statements::tell_of_before(&mut claim, activity);
        claim
    }

    fn guards(&self, place: &Place<'_>, activity: &StatementActivity) -> Guards {
        let mut guards = Guards::default();
        guards.checked(format!("the server has been up for {} or more", self.after_start));
        let warm_at = place.observation.server.started_at + self.after_start.as_delta();
        match activity.window {
            Some(window) if window.from < warm_at => guards.not_checked(
                "what it reads once memory is full: the window reaches back to when the server had just started",
            ),
            _ => guards.checked("the window does not reach back to the start of the server"),
        }
        guards
    }
}

fn numbers(place: &Place<'_>, statement: &StatementDelta, reads: &Reads) -> Evidence {
    let calls = statement.calls.max(1) as f64;
    let shared_buffers = place.observation.server.setting_bytes("shared_buffers");
    evidence([
        ("read_bytes", number(reads.bytes)),
        ("read_ratio", number(reads.ratio)),
        ("share_of_all_reads_ratio", number(reads.share)),
        (
            "shared_blocks_hit_per_call",
            number(statement.shared_blocks_hit as f64 / calls),
        ),
        (
            "shared_blocks_read_per_call",
            number(statement.shared_blocks_read as f64 / calls),
        ),
        ("block_bytes", number(reads.block_bytes)),
        ("shared_buffers_bytes", json!(shared_buffers)),
    ])
}

fn remedy() -> Remedy {
    Remedy {
        caveats: vec![
            "EXPLAIN (ANALYZE, BUFFERS) shows which node reads: an index, fewer columns or partitions are to be tried first."
                .to_owned(),
            "A table of more than a quarter of shared_buffers that is scanned as a whole is read anew each time; more \
             shared_buffers does not change that until the table fits."
                .to_owned(),
            "What counts as read may have been in the cache of the operating system: with track_io_timing on, \
             pg_stat_statements tells how long reading took."
                .to_owned(),
        ],
        ..Remedy::default()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::model::finding::ConfidenceLevel;
    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, now, observation, set, statement};

    fn observed(hit: i64, read: i64, read_by_others: i64) -> Observation {
        let mut one = statement("SELECT 1 FROM a", 10, 100.0);
        (one.shared_blocks_hit, one.shared_blocks_read) = (hit, read);
        let mut other = statement("SELECT 1 FROM b", 10, 1.0);
        (other.shared_blocks_hit, other.shared_blocks_read) = (i64::MAX / 4, read_by_others);
        let mut observed = observation(vec![one, other], 0.0);
        set(&mut observed, "block_size", "8192");
        observed
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let count = |hit, read, others| claims::<CacheMiss>(&observed(hit, read, others)).unwrap().len();
        assert_eq!(count(80_000, 20_000, 180_000), 1);
        assert_eq!(count(80_001, 20_000, 180_000), 0, "nearly all were there");
        assert_eq!(count(80_000, 20_000, 180_001), 0, "others read far more");
        assert_eq!(count(0, 12_208, 0), 1, "100 MB");
        assert_eq!(count(0, 12_207, 0), 0);
    }

    #[test]
    fn an_empty_memory_is_no_fault_of_a_statement() {
        let mut cold = observed(0, 20_000, 0);
        cold.server.started_at = now() - TimeDelta::minutes(59);
        let reason = claims::<CacheMiss>(&cold).unwrap_err().reason;
        assert!(reason.contains("59 min ago"), "{reason}");
        // the window is ten minutes long
        cold.server.started_at = now() - TimeDelta::minutes(65);
        let half = claims::<CacheMiss>(&cold).unwrap().remove(0);
        assert_eq!(half.confidence.level, ConfidenceLevel::Estimated);
        cold.server.started_at = now() - TimeDelta::minutes(70);
        let warm = claims::<CacheMiss>(&cold).unwrap().remove(0);
        assert_eq!(warm.confidence.level, ConfidenceLevel::Measured);
    }

    #[test]
    fn what_read_before_the_first_look_is_info_though_it_is_still_called() {
        let mut read = observed(0, 20_000, 0);
        let severity = |observed: &_| claims::<CacheMiss>(observed).unwrap().remove(0).severity;
        assert_eq!(severity(&read), Severity::Warning);
        let activity = read.statements.as_mut().unwrap();
        activity.looked_only_since = Some(now() - TimeDelta::minutes(2));
        activity.statements[0].seen_seconds = activity.statements[0].seconds;
        assert_eq!(severity(&read), Severity::Info);
    }

    #[test]
    fn without_the_size_of_a_block_it_cannot_tell() {
        let mut unknown = observed(0, 20_000, 0);
        unknown.server.settings.clear();
        assert!(claims::<CacheMiss>(&unknown).is_err());
    }
}
