//! How the databases of a server find their blocks: a part of its page.

use serde::Serialize;
use utoipa::ToSchema;

use super::present;
use super::relations::{Brief, briefs};
use crate::model::finding::{Finding, Window};
use crate::model::observation::BlockReads;
use crate::model::unit::{bytes_for_people, seconds_for_people};

/// How one database finds the blocks that it needs.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CacheLine {
    /// Its name.
    pub database: String,
    /// What is known; null before a second look, or after a reset or a crash.
    pub reads: Option<CacheReads>,
    /// What `config.cache_hit` found about it.
    pub findings: Vec<Brief>,
}

/// How blocks were found over a window.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CacheReads {
    /// The time that the numbers cover.
    pub window: Window,
    /// Blocks that were found in shared_buffers.
    pub blocks_hit: u64,
    /// Blocks that the operating system was asked for.
    pub blocks_read: u64,
    /// The share of those that were found, 0 to 1; null where no block was needed.
    pub hit_ratio: Option<f64>,
    /// What was asked for a second; null where the size of a block, or of the window, is not known.
    pub read_bytes_per_second: Option<f64>,
}

impl CacheLine {
    /// A line for each database, in their order.
    pub(super) fn list<'a>(
        databases: impl Iterator<Item = &'a String>,
        reads: &[BlockReads],
        block_bytes: Option<f64>,
        findings: &[Finding],
    ) -> Vec<Self> {
        let line = |database: &String| Self {
            database: database.clone(),
            reads: reads
                .iter()
                .find(|reads| reads.database == *database)
                .map(|reads| CacheReads::of(reads, block_bytes)),
            findings: briefs(findings, |finding| {
                let claim = &finding.claim;
                claim.rule == "config.cache_hit" && claim.database.as_ref() == Some(database)
            }),
        };
        databases.map(line).collect()
    }
}

impl CacheReads {
    fn of(reads: &BlockReads, block_bytes: Option<f64>) -> Self {
        let (hit, read) = (reads.hit.max(0).unsigned_abs(), reads.read.max(0).unsigned_abs());
        let (all, seconds) = (hit + read, reads.window.seconds());
        Self {
            window: reads.window,
            blocks_hit: hit,
            blocks_read: read,
            hit_ratio: (all > 0).then(|| hit as f64 / all as f64),
            read_bytes_per_second: block_bytes
                .filter(|_| seconds > 0.0)
                .map(|bytes| read as f64 * bytes / seconds),
        }
    }

    /// As many digits as tell 99.9 from 99.99 per cent.
    pub(super) fn hit(&self) -> String {
        match self.hit_ratio {
            None => "no block was needed".to_owned(),
            Some(ratio) if (0.99..1.0).contains(&ratio) => format!("{:.2} %", (ratio * 1e4).floor() / 100.0),
            Some(ratio) => present::percent(ratio),
        }
    }

    pub(super) fn read(&self) -> String {
        match self.read_bytes_per_second {
            None => "not known".to_owned(),
            Some(bytes) => format!("{}/s", bytes_for_people(bytes)),
        }
    }

    pub(super) fn over(&self) -> String {
        seconds_for_people(self.window.seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::sample;
    use chrono::TimeDelta;

    fn reads(database: &str, hit: i64, read: i64) -> BlockReads {
        BlockReads {
            database: database.to_owned(),
            window: Window {
                from: sample::now() - TimeDelta::hours(1),
                to: sample::now(),
            },
            hit,
            read,
        }
    }

    #[test]
    fn shares_are_of_what_was_needed_and_absent_is_not_zero() {
        let databases = ["a", "idle", "new"].map(str::to_owned);
        let known = [reads("a", 9995, 5), reads("idle", 0, 0)];
        let mut of_a = sample::finding("config.cache_hit", "a");
        of_a.claim.database = Some("a".to_owned());
        let lines = CacheLine::list(databases.iter(), &known, Some(8192.0), &[of_a]);
        let a = lines[0].reads.as_ref().unwrap();
        assert_eq!((a.hit().as_str(), a.read().as_str()), ("99.95 %", "11 B/s"));
        assert_eq!(a.over(), "1 h");
        assert_eq!((lines[0].findings.len(), lines[1].findings.len()), (1, 0));
        let idle = lines[1].reads.as_ref().unwrap();
        assert_eq!((idle.hit_ratio, idle.read_bytes_per_second), (None, Some(0.0)));
        assert_eq!(lines[2].reads, None);
        let unknown = CacheLine::list(databases.iter(), &known, None, &[]);
        let read = unknown[0].reads.as_ref().unwrap().read();
        assert_eq!(read, "not known", "the size of a block could not be read");
    }

    #[test]
    fn nearly_all_is_not_all() {
        let hit = |hit, read| CacheReads::of(&reads("a", hit, read), None).hit();
        assert_eq!(hit(999_999, 1), "99.99 %");
        assert_eq!((hit(10, 0), hit(1, 1)), ("100 %".to_owned(), "50 %".to_owned()));
    }
}
