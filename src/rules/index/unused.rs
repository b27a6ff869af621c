//! index.unused

use chrono::{DateTime, Datelike, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Impact, Severity, Window};
use crate::model::observation::{DatabaseObservation, IndexObservation, Unknown};
use crate::model::remedy::{Remedy, Statement, qualified};
use crate::model::snapshot::{IndexFacts, TableFacts};
use crate::model::unit::{Period, Size, bytes_for_people};
use crate::rules::{Found, Place, Rule, Scope, estimated, evidence, index_object, measured};

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
/// (primary key, unique, exclusion), that replication or CLUSTER names, that alone supports a foreign key, or whose
/// expression feeds the planner's statistics is never named here.
///
/// Idleness is counted from our own looks over restarts and resets, from the index's last scan where the server knows it
/// (16 and later), or from totals since a known reset; then the index may be younger than that. Source: PostgreSQL's
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

/// Since when an index is idle, and whether that is sure.
struct Idle {
    since: DateTime<Utc>,
    index_existed: bool,
}

impl Rule for Unused {
    const ID: &'static str = "index.unused";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let oldest_allowed = place.observation.now - self.min_age.as_delta();
        let mut found = Found::default();
        let mut waits: Option<DateTime<Utc>> = None;
        for index in &database.indexes {
            let Some((facts, table)) = droppable(database, index) else {
                continue;
            };
            match idle(index, oldest_allowed) {
                Ok(idle) => found.claims.push(self.claim(place, facts, table, index, &idle)),
                Err(Some(since)) => {
                    waits = waits.max(Some(since));
                    found.undecided.push(subject(facts));
                }
                Err(None) => {}
            }
        }
        if let Some(since) = waits {
            let days = (since - oldest_allowed).num_hours() as f64 / 24.0;
            let reason = format!(
                "immature: needs {} more days without a reset of statistics",
                days.ceil().max(1.0)
            );
            if found.claims.is_empty() && found.undecided.len() == candidates(database) {
                return Err(Unknown::because(reason));
            }
            found.untold = Some(reason);
        }
        Ok(found)
    }
}

/// Indexes that could be named at all.
fn candidates(database: &DatabaseObservation) -> usize {
    database
        .indexes
        .iter()
        .filter(|index| droppable(database, index).is_some())
        .count()
}

fn subject(facts: &IndexFacts) -> Vec<String> {
    vec![facts.schema.clone(), facts.name.clone()]
}

/// An index that enforces and supports nothing.
fn droppable<'a>(
    database: &'a DatabaseObservation,
    index: &IndexObservation,
) -> Option<(&'a IndexFacts, &'a TableFacts)> {
    let facts = database.catalog.indexes.get(&index.oid)?;
    let table = database.table_of(facts)?;
    let needed = facts.is_primary
        || facts.is_unique
        || facts.is_exclusion
        || facts.constraint.is_some()
        || facts.is_replica_identity
        || facts.is_clustered
        || facts.supports_foreign_key
        || facts.has_expressions
        || facts.is_partition
        || facts.is_partitioned
        || facts.owned_by_extension
        || !facts.is_valid
        || index.being_built;
    (!needed).then_some((facts, table))
}

/// Idle for long enough, or since when it is idle without that being enough, or used.
fn idle(index: &IndexObservation, oldest_allowed: DateTime<Utc>) -> Result<Idle, Option<DateTime<Utc>>> {
    if let Some(since) = index.idle_since.filter(|since| *since <= oldest_allowed) {
        return Ok(Idle {
            since,
            index_existed: true,
        });
    }
    if let Some(since) = index
        .no_scan_counted_since
        .filter(|since| *since <= oldest_allowed)
    {
        return Ok(Idle {
            since,
            index_existed: false,
        });
    }
    // one that was scanned a moment ago is no candidate that waits for its time
    Err(if index.scans == 0 {
        index
            .no_scan_counted_since
            .min(index.idle_since)
            .or(index.idle_since)
    } else {
        None
    })
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
        let (mut guards, unchecked) = guards(place, idle, now);
        guards.extend(unchecked.iter().map(|what| format!("not checked: {what}")));
        let (schema, name) = (facts.schema.clone(), facts.name.clone());
        Claim {
            title: format!("{schema}.{name} has not been used for {idle_for}"),
            explanation: format!(
                "No query has scanned this index of {}.{} for {idle_for}. It takes {} and is written to by every \
                 insert. It enforces nothing and supports no foreign key alone.",
                table.schema,
                table.name,
                bytes_for_people(facts.size_bytes),
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
            confidence: if unchecked.is_empty() {
                measured("idle in every look of the window")
            } else {
                estimated(&format!("not checked: {}", unchecked.join("; ")))
            },
            remedy: Remedy {
                apply_sql: vec![Statement::DropIndexConcurrently { schema, name }.sql()],
                undo_sql: facts
                    .definition
                    .iter()
                    .map(|definition| {
                        Statement::CreateIndexConcurrently {
                            definition: definition.clone(),
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
            guards,
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

/// What was checked, and what could not be.
fn guards(place: &Place<'_>, idle: &Idle, now: DateTime<Utc>) -> (Vec<String>, Vec<&'static str>) {
    let mut checked = vec!["enforces no constraint and supports no foreign key alone".to_owned()];
    let mut unchecked = Vec::new();
    match place.observation.server.standbys {
        0 => checked.push("no standby streams from this server".to_owned()),
        _ => unchecked.push("use on its standbys"),
    }
    if !idle.index_existed {
        unchecked.push("whether the index existed all that time");
    }
    if (now.year(), now.month()) == (idle.since.year(), idle.since.month()) {
        unchecked.push("a month's end");
    }
    (checked, unchecked)
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
    fn what_is_needed_is_never_named() {
        assert_eq!(judged(|_| (), 36, None).unwrap().len(), 1);
        let needed: [fn(&mut IndexFacts); 8] = [
            |facts| facts.is_primary = true,
            |facts| facts.is_unique = true,
            |facts| facts.constraint = Some("c".into()),
            |facts| facts.is_replica_identity = true,
            |facts| facts.is_clustered = true,
            |facts| facts.supports_foreign_key = true,
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
}
