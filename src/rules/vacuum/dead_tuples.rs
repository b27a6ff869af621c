//! vacuum.dead_tuples

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Impact, Object, ObjectKind, Severity};
use crate::model::observation::{TableObservation, Unknown};
use crate::model::remedy::{Remedy, Statement, qualified, quote_literal};
use crate::model::snapshot::TableFacts;
use crate::model::unit::{Period, Size, count_for_people};
use crate::rules::{Found, Place, Rule, Scope, evidence, measured, number};

/// A table whose dead row versions are more than autovacuum should ever let stand.
///
/// ## Why it is bad
/// Dead row versions are read and passed over by every scan, keep the table and its indexes growing, and keep index-only
/// scans from being index-only.
///
/// ## What to do
/// First see whether something holds old row versions back: an old transaction, a forgotten replication slot, a prepared
/// transaction. VACUUM can do nothing before that is gone. Then VACUUM the table, and let autovacuum come earlier with a
/// smaller scale factor for it.
///
/// ## When it is wrong to obey
/// Right after a bulk update or delete: autovacuum may be on its way. That is why this waits an hour, and why a table that
/// is being vacuumed is left out.
///
/// The threshold is autovacuum's own, with the table's storage parameters: base + scale × rows, from 18 at most
/// autovacuum_vacuum_max_threshold. Source: PostgreSQL's chapter "Routine Vacuuming".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadTuples {
    /// How many times the table's own autovacuum threshold it takes.
    times_threshold: f64,
    /// Share of dead row versions, 0 to 1, that it takes for a warning.
    warning_share: f64,
    /// Share of dead row versions, 0 to 1, from which it is critical, together with `critical_size`.
    critical_share: f64,
    /// Size of the table from which it is critical.
    critical_size: Size,
    /// Smaller tables are left out: live and dead row versions together.
    min_rows: i64,
}

impl Default for DeadTuples {
    fn default() -> Self {
        Self {
            times_threshold: 2.0,
            warning_share: 0.1,
            critical_share: 0.4,
            critical_size: Size::gigabytes(1),
            min_rows: 10_000,
        }
    }
}

impl Rule for DeadTuples {
    const ID: &'static str = "vacuum.dead_tuples";
    const SCOPE: Scope = Scope::Database;
    const HOLD: Period = Period::minutes(60);

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let mut found = Found::default();
        for table in &database.tables {
            let Some(facts) = database.catalog.tables.get(&table.oid) else {
                continue;
            };
            let Some(severity) = self.severity(table, facts) else {
                continue;
            };
            match table.being_vacuumed {
                true => found
                    .undecided
                    .push(vec![facts.schema.clone(), facts.name.clone()]),
                false => found.claims.push(claim(place, table, facts, severity)),
            }
        }
        if !found.undecided.is_empty() {
            found.untold = Some("some tables are being vacuumed just now".to_owned());
        }
        Ok(found)
    }
}

impl DeadTuples {
    fn severity(&self, table: &TableObservation, facts: &TableFacts) -> Option<Severity> {
        let rows = table.live_rows + table.dead_rows;
        let dead = table.dead_rows as f64;
        let share = dead / rows.max(1) as f64;
        if facts.owned_by_extension
            || rows < self.min_rows
            || share < self.warning_share
            || dead <= self.times_threshold * table.vacuum_threshold_rows
        {
            return None;
        }
        let critical = share >= self.critical_share && facts.size_bytes >= self.critical_size.bytes as f64;
        Some(if critical {
            Severity::Critical
        } else {
            Severity::Warning
        })
    }
}

fn claim(place: &Place<'_>, table: &TableObservation, facts: &TableFacts, severity: Severity) -> Claim {
    let (schema, name) = (facts.schema.clone(), facts.name.clone());
    let share = table.dead_rows as f64 / (table.live_rows + table.dead_rows).max(1) as f64;
    let oldest = place.observation.server.xmin_holders.first();
    let mut caveats = Vec::new();
    if let Some(holder) = oldest {
        caveats.push(format!(
            "First look at the {} {}: it holds row versions back that are {} transactions old.",
            holder.kind,
            holder.name,
            count_for_people(holder.age as f64)
        ));
    }
    if facts.option("autovacuum_enabled") == Some("false") {
        caveats.push("Autovacuum is switched off for this table by a storage parameter.".to_owned());
    }
    let smaller = Statement::SetStorageParameter {
        schema: schema.clone(),
        table: name.clone(),
        name: "autovacuum_vacuum_scale_factor",
        value: "0.02".to_owned(),
    };
    let reset = Statement::ResetStorageParameter {
        schema: schema.clone(),
        table: name.clone(),
        name: "autovacuum_vacuum_scale_factor",
    };
    let vacuum = Statement::Vacuum {
        schema: schema.clone(),
        table: name.clone(),
        analyze: true,
        freeze: false,
    };
    let kind = if facts.kind == 'm' {
        ObjectKind::MaterializedView
    } else {
        ObjectKind::Table
    };
    let object = Object {
        kind,
        schema: Some(schema.clone()),
        name: name.clone(),
        table: None,
    };
    Claim {
        title: format!("{schema}.{name}: {:.0} % of its rows are dead", share * 100.0),
        explanation: format!(
            "{} dead row versions beside {} live ones; autovacuum should have come at {}. Scans read them all.",
            count_for_people(table.dead_rows as f64),
            count_for_people(table.live_rows as f64),
            count_for_people(table.vacuum_threshold_rows)
        ),
        evidence: evidence([
            ("dead_rows", json!(table.dead_rows)),
            ("live_rows", json!(table.live_rows)),
            ("dead_share_ratio", number(share)),
            ("vacuum_threshold_rows", number(table.vacuum_threshold_rows)),
            ("size_bytes", json!(facts.size_bytes)),
            ("last_vacuum_at", json!(table.last_vacuum_at)),
            ("storage_parameters", json!(facts.options)),
        ]),
        evidence_sql: Some(format!(
            "SELECT n_live_tup, n_dead_tup, last_vacuum, last_autovacuum FROM pg_stat_user_tables\n  \
             WHERE relid = {}::regclass",
            quote_literal(&qualified(&schema, &name))
        )),
        impact: Impact {
            bytes: Some(facts.size_bytes * share),
            ..Impact::default()
        },
        confidence: measured("the server's own counters, which are estimates after a crash or a reset"),
        remedy: Remedy {
            apply_sql: vec![vacuum.sql(), smaller.sql()],
            undo_sql: vec![reset.sql()],
            lock: Some("SHARE UPDATE EXCLUSIVE".to_owned()),
            rewrites_table: Some(false),
            extra_disk_bytes: Some(0.0),
            expected_seconds: None,
            caveats,
        },
        guards: vec!["it is not being vacuumed".to_owned()],
        ..place.claim(DeadTuples::ID, severity, vec![schema, name], Some(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_its_thresholds() {
        let rule = DeadTuples::default();
        let severity = |live: i64, dead: i64, threshold: f64, size: f64| {
            let table = TableObservation {
                oid: 1,
                live_rows: live,
                dead_rows: dead,
                vacuum_threshold_rows: threshold,
                last_vacuum_at: None,
                being_vacuumed: false,
            };
            rule.severity(
                &table,
                &TableFacts {
                    size_bytes: size,
                    ..TableFacts::default()
                },
            )
        };
        assert_eq!(severity(9000, 1000, 100.0, 0.0), Some(Severity::Warning));
        assert_eq!(severity(8999, 1000, 100.0, 0.0), None, "a small table");
        assert_eq!(severity(90_100, 9_900, 100.0, 0.0), None, "below a tenth");
        assert_eq!(
            severity(9000, 1000, 500.0, 0.0),
            None,
            "not above twice the threshold"
        );
        assert_eq!(severity(6000, 4000, 100.0, 1e9), Some(Severity::Critical));
        assert_eq!(severity(6000, 4000, 100.0, 9e8), Some(Severity::Warning));
    }
}
