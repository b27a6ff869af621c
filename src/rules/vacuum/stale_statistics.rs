//! vacuum.stale_statistics

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::disabled::{rows, subject, top};
use crate::model::catalog::TableFacts;
use crate::model::finding::{Claim, Severity};
use crate::model::observation::{DatabaseObservation, TableActivity, Unknown};
use crate::model::remedy::{Remedy, Statement, qualified, quote_literal};
use crate::model::unit::{Period, count_for_people};
use crate::rules::{Found, Place, Rule, Scope, evidence, measured, number, table_object};

/// A table that has changed much since its last ANALYZE, or was never analyzed.
///
/// ## Why it is bad
/// The planner goes by statistics of what the table once held. It expects few rows where there are many, and chooses nested
/// loops and indexes that make a query take minutes instead of moments.
///
/// ## What to do
/// Run ANALYZE. It reads a sample, takes seconds, and blocks neither reads nor writes. Then see why autovacuum did not: it is
/// switched off, its workers are busy, or somebody holds a lock that drives it away.
///
/// ## When it is wrong to obey
/// Where a job runs ANALYZE at the end of a load that is still going on.
///
/// Autovacuum comes by itself once the changes pass its threshold (base + scale factor × rows, with the table's storage
/// parameters), within minutes. That is why it takes twice the threshold for an hour, and a table that was analyzed within
/// `min_age` is left out however fast it changes. Materialized views count, too.
///
/// A table counts as never analyzed where no ANALYZE is remembered and either the catalog has not heard of its rows since it
/// was made or truncated, or as many rows have changed as it holds. A reset of statistics and a crash make the server forget
/// when it was: then nothing is said of a table until it has changed enough again. Partitions are told together, with their
/// parent. The statistics of the parent as a whole are not judged: autovacuum never makes them, and the server does not
/// count what changed; ANALYZE of the parent makes all of them. Foreign tables and those of extensions are left out.
/// Source: PostgreSQL's chapter "Routine Vacuuming".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaleStatistics {
    /// How many times the table's own autovacuum threshold must have changed since the last ANALYZE.
    times_threshold: f64,
    /// Smaller tables are left out.
    min_rows: i64,
    /// A table that was analyzed within this time is left out.
    min_age: Period,
    /// A table with so many rows that was never analyzed is a warning.
    warning_rows: i64,
}

impl Default for StaleStatistics {
    fn default() -> Self {
        Self {
            times_threshold: 2.0,
            min_rows: 1_000,
            min_age: Period::minutes(60),
            warning_rows: 10_000,
        }
    }
}

/// A table, or a partition, whose statistics are stale.
#[derive(Clone, Copy)]
struct Stale<'a> {
    severity: Severity,
    table: &'a TableFacts,
    rows: f64,
    changed: f64,
    threshold: f64,
    analyzed_at: Option<DateTime<Utc>>,
}

impl Stale<'_> {
    /// How many times its threshold has changed.
    fn times(&self) -> f64 {
        self.changed / self.threshold.max(1.0)
    }

    /// The catalog has not heard of its rows since it was made or truncated.
    fn is_never(&self) -> bool {
        self.analyzed_at.is_none() && self.table.rows < 0.0
    }
}

/// What is known of a table with its partitions.
struct Judged<'a> {
    table: &'a TableFacts,
    /// The worst of them.
    worst: Option<Stale<'a>>,
    stale: usize,
    forgotten: Forgotten,
}

/// Whether the server has forgotten when a table was analyzed, so that nobody can tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Forgotten {
    No,
    /// Of a small table, which is not worth a word.
    OfASmallTable,
    Yes,
}

const FORGOTTEN: &str = "whether some tables have changed since their last ANALYZE is not known: none is remembered since \
                         the counters began or were reset; ANALYZE mends that";

impl Rule for StaleStatistics {
    const ID: &'static str = "vacuum.stale_statistics";
    const SCOPE: Scope = Scope::Database;
    const HOLD: Period = Period::minutes(60);

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let tables = self.tables(place, place.database()?)?;
        let mut found = Found::default();
        let mut claims = Vec::new();
        for judged in tables.values() {
            if let Some(worst) = judged.worst {
                claims.push((worst, judged));
                continue;
            }
            if judged.forgotten != Forgotten::No {
                found.undecided.push(subject(judged.table));
            }
            if judged.forgotten == Forgotten::Yes {
                found.untold = Some(FORGOTTEN.to_owned());
            }
        }
        claims.sort_by(|(a, of_a), (b, of_b)| {
            let by_severity = b.severity.cmp(&a.severity);
            let by_times = by_severity.then(b.times().total_cmp(&a.times()));
            by_times.then_with(|| of_a.table.names().cmp(&of_b.table.names()))
        });
        for (worst, judged) in claims {
            found.claim_worst_first(
                place,
                || subject(judged.table),
                || self.claim(place, &worst, judged),
            );
        }
        Ok(found)
    }
}

impl StaleStatistics {
    /// Every table with its partitions, by its OID.
    fn tables<'a>(
        &self,
        place: &Place<'_>,
        database: &'a DatabaseObservation,
    ) -> Result<BTreeMap<u32, Judged<'a>>, Unknown> {
        let mut tables: BTreeMap<u32, Judged<'a>> = BTreeMap::new();
        for (activity, table) in database.table_activity_with_facts()? {
            if !['r', 'm'].contains(&table.kind) || table.owned_by_extension {
                continue;
            }
            let top = top(&database.catalog, table);
            let judged = tables.entry(top.oid).or_insert(Judged {
                table: top,
                worst: None,
                stale: 0,
                forgotten: Forgotten::No,
            });
            let (rows, _) = rows(database, table);
            let Some(stale) = self.stale(place, activity, table, rows) else {
                judged.forgotten = judged.forgotten.max(self.forgotten(activity, table, rows));
                continue;
            };
            judged.stale += 1;
            let is_worse =
                |worst: Stale<'_>| (stale.severity, stale.times()) > (worst.severity, worst.times());
            if judged.worst.is_none_or(is_worse) {
                judged.worst = Some(stale);
            }
        }
        Ok(tables)
    }

    fn stale<'a>(
        &self,
        place: &Place<'_>,
        activity: &TableActivity,
        table: &'a TableFacts,
        rows: f64,
    ) -> Option<Stale<'a>> {
        let changed = activity.modified_since_analyze as f64;
        let threshold = activity.analyze_threshold_rows;
        let analyzed_at = activity.last_analyze_at;
        let is_never = analyzed_at.is_none() && (table.rows < 0.0 || changed > 0.0 && changed >= rows);
        let is_changed = changed > 0.0 && changed >= self.times_threshold * threshold;
        let is_young = analyzed_at.is_some_and(|at| at > place.observation.now - self.min_age.as_delta());
        let severity = match (is_never && rows >= self.warning_rows as f64, is_changed) {
            (true, _) => Severity::Warning,
            (false, true) if rows >= self.min_rows as f64 && !is_young => Severity::Info,
            _ => return None,
        };
        Some(Stale {
            severity,
            table,
            rows,
            changed,
            threshold,
            analyzed_at,
        })
    }

    /// Of a table that is not known to be stale.
    fn forgotten(&self, activity: &TableActivity, table: &TableFacts, rows: f64) -> Forgotten {
        match activity.last_analyze_at {
            Some(_) => Forgotten::No,
            None if table.rows >= 0.0 && rows >= self.min_rows as f64 => Forgotten::Yes,
            None => Forgotten::OfASmallTable,
        }
    }
}

fn since(stale: &Stale<'_>) -> &'static str {
    match stale.analyzed_at {
        Some(_) => "since the last ANALYZE",
        None => "and no ANALYZE is remembered",
    }
}

impl StaleStatistics {
    fn claim(&self, place: &Place<'_>, worst: &Stale<'_>, judged: &Judged<'_>) -> Claim {
        let mut claim = claim(place, worst, judged);
        claim.guards.push(match worst.analyzed_at {
            Some(_) => format!("nothing analyzed it in the last {}", self.min_age),
            None => "no ANALYZE of it is remembered".to_owned(),
        });
        claim
    }
}

fn claim(place: &Place<'_>, worst: &Stale<'_>, judged: &Judged<'_>) -> Claim {
    let table = judged.table;
    let (schema, name) = (&table.schema, &table.name);
    let is_whole = table.kind == 'p';
    let of = match is_whole {
        true => format!(" in its partition {}.{}", worst.table.schema, worst.table.name),
        false => String::new(),
    };
    let title = match (worst.is_never(), is_whole) {
        (true, false) => format!("{schema}.{name} was not analyzed since it was filled"),
        (true, true) => {
            format!("{schema}.{name} has partitions that were not analyzed since they were filled")
        }
        (false, _) => format!(
            "{schema}.{name}: {} rows have changed {}",
            count_for_people(worst.changed),
            since(worst)
        ),
    };
    Claim {
        title,
        explanation: format!(
            "{} rows have changed{of} {}; it holds about {}. Autovacuum should have analyzed it at {}, and has not. The \
             planner goes by what the table once held. Run ANALYZE, and see why autovacuum did not.",
            count_for_people(worst.changed),
            since(worst),
            count_for_people(worst.rows),
            count_for_people(worst.threshold)
        ),
        evidence: evidence([
            ("modified_rows", json!(worst.changed as i64)),
            ("analyze_threshold_rows", number(worst.threshold)),
            ("rows", json!(worst.rows as i64)),
            ("last_analyze_at", json!(worst.analyzed_at)),
            ("storage_parameters", json!(worst.table.options)),
            ("stale_partitions", json!(is_whole.then_some(judged.stale))),
        ]),
        evidence_sql: Some(evidence_sql(table)),
        confidence: measured("the server's own counters"),
        remedy: remedy(place, worst.table, table),
        guards: vec!["its own storage parameters were taken into the threshold".to_owned()],
        ..place.claim(
            StaleStatistics::ID,
            worst.severity,
            subject(table),
            Some(table_object(table)),
        )
    }
}

fn evidence_sql(table: &TableFacts) -> String {
    let regclass = format!(
        "{}::regclass",
        quote_literal(&qualified(&table.schema, &table.name))
    );
    let which = match table.kind {
        'p' => format!("IN (SELECT p.relid FROM pg_partition_tree({regclass}) AS p WHERE p.isleaf)"),
        _ => format!("= {regclass}"),
    };
    format!(
        "SELECT relname, n_live_tup, n_mod_since_analyze, last_analyze, last_autoanalyze FROM pg_stat_user_tables\n  \
         WHERE relid {which} ORDER BY n_mod_since_analyze DESC LIMIT 20"
    )
}

fn remedy(place: &Place<'_>, worst: &TableFacts, table: &TableFacts) -> Remedy {
    let analyze = Statement::Analyze {
        schema: table.schema.clone(),
        table: table.name.clone(),
    };
    let mut caveats = Vec::new();
    let autovacuum = place.observation.server.settings.get("autovacuum");
    if worst.option_is_on("autovacuum_enabled") == Some(false) {
        caveats.push(format!(
            "Autovacuum is switched off for {}.{}, so that this comes back: see vacuum.disabled.",
            worst.schema, worst.name
        ));
    } else if autovacuum.is_some_and(|setting| setting.value == "off") {
        caveats.push("Autovacuum is off for the whole server: see vacuum.autovacuum_off.".to_owned());
    } else {
        caveats.push(
            "If it comes back: see whether autovacuum's workers are all busy or too slow, or driven away by locks."
                .to_owned(),
        );
    }
    if table.kind == 'p' {
        caveats.push(
            "It analyzes all partitions, and the table as a whole, which autovacuum never does: do it at intervals of your own."
                .to_owned(),
        );
    }
    Remedy {
        apply_sql: vec![analyze.sql()],
        lock: Some("SHARE UPDATE EXCLUSIVE".to_owned()),
        rewrites_table: Some(false),
        extra_disk_bytes: Some(0.0),
        caveats,
        ..Remedy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    use crate::model::observation::{Observation, TableObservation};
    use crate::rules::sampled::SampledStatements;
    use crate::rules::testing::{claims, found, now, set, severities, table, tables};

    /// So many rows changed since an ANALYZE so many minutes ago, of a threshold of 250.
    fn activity(oid: u32, changed: i64, minutes_ago: Option<i64>) -> TableActivity {
        TableActivity {
            oid,
            modified_since_analyze: changed,
            last_analyze_at: minutes_ago.map(|minutes| now() - TimeDelta::minutes(minutes)),
            analyze_threshold_rows: 250.0,
            ..TableActivity::default()
        }
    }

    fn observed(facts: Vec<TableFacts>, activity: Vec<TableActivity>) -> Observation {
        let mut observed = tables(facts);
        observed.databases[0].table_activity = Ok(activity);
        observed
    }

    fn said(rows: f64, changed: i64, minutes_ago: Option<i64>) -> Vec<Severity> {
        let activity = activity(1, changed, minutes_ago);
        severities::<StaleStatistics>(&observed(vec![table(1, "t", rows, 0.0)], vec![activity]))
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        assert_eq!(said(2_000.0, 499, Some(90)), []);
        assert_eq!(said(2_000.0, 500, Some(90)), [Severity::Info]);
        assert_eq!(said(2_000.0, 500, Some(60)), [Severity::Info]);
        assert_eq!(
            said(2_000.0, 500_000, Some(59)),
            [],
            "it is analyzed, and changes fast"
        );
        assert_eq!(said(999.0, 500, Some(90)), []);
        assert_eq!(said(1_000.0, 500, Some(90)), [Severity::Info]);
        assert_eq!(
            said(1e6, 1_000_000, Some(90)),
            [Severity::Info],
            "it was analyzed once"
        );
    }

    #[test]
    fn for_how_long_nothing_analyzed_it_is_told_as_configured() {
        let mut observed = observed(vec![table(1, "t", 2_000.0, 0.0)], vec![activity(1, 500, Some(4))]);
        let rule = StaleStatistics {
            min_age: Period::minutes(1),
            ..StaleStatistics::default()
        };
        let guards = |observed: &Observation| {
            let place = Place {
                observation: observed,
                database: Some(&observed.databases[0]),
                sampled: &SampledStatements::of(observed),
                claims_at_most: 1,
            };
            rule.judge(&place).unwrap().claims.remove(0).guards.join("; ")
        };
        let told = guards(&observed);
        assert!(told.ends_with("nothing analyzed it in the last 1 min"), "{told}");
        observed.databases[0].catalog = tables(vec![table(1, "t", -1.0, 0.0)]).databases[0]
            .catalog
            .clone();
        observed.databases[0].table_activity = Ok(vec![activity(1, 20_000, None)]);
        observed.databases[0].tables = vec![TableObservation {
            oid: 1,
            live_rows: 20_000,
            ..TableObservation::default()
        }];
        let told = guards(&observed);
        assert!(told.ends_with("no ANALYZE of it is remembered"), "{told}");
    }

    #[test]
    fn never_analyzed_is_a_warning() {
        let with_live = |live_rows: i64, changed: i64| {
            let mut observed = observed(vec![table(1, "t", -1.0, 0.0)], vec![activity(1, changed, None)]);
            observed.databases[0].tables = vec![TableObservation {
                oid: 1,
                live_rows,
                ..TableObservation::default()
            }];
            severities::<StaleStatistics>(&observed)
        };
        assert_eq!(with_live(10_000, 10_000), [Severity::Warning]);
        assert_eq!(
            with_live(10_000, 0),
            [Severity::Warning],
            "the catalog has never heard of it"
        );
        assert_eq!(with_live(9_999, 9_999), [Severity::Info]);
        assert_eq!(with_live(9_999, 0), []);
        assert_eq!(
            said(10_000.0, 10_000, None),
            [Severity::Warning],
            "an index build counted its rows"
        );
        assert_eq!(said(10_000.0, 9_999, None), [Severity::Info]);
    }

    #[test]
    fn what_the_server_has_forgotten_is_unknown() {
        let judged = |rows: f64, changed: i64, minutes_ago: Option<i64>| {
            let activity = activity(1, changed, minutes_ago);
            let found =
                found::<StaleStatistics>(&observed(vec![table(1, "t", rows, 0.0)], vec![activity])).unwrap();
            (found.undecided.len(), found.untold.is_some())
        };
        assert_eq!(judged(1_000.0, 0, None), (1, true));
        assert_eq!(judged(999.0, 0, None), (1, false));
        assert_eq!(judged(1_000.0, 0, Some(9)), (0, false));
        assert_eq!(judged(1_000.0, 500, None), (0, false), "that much is sure");
        let mut unread = observed(vec![], vec![]);
        unread.databases[0].table_activity = Err(Unknown::because("gone"));
        assert_eq!(claims::<StaleStatistics>(&unread).unwrap_err().reason, "gone");
    }

    #[test]
    fn some_are_left_out() {
        let with = |change: fn(&mut TableFacts)| {
            let mut facts = table(1, "t", 2_000.0, 0.0);
            change(&mut facts);
            severities::<StaleStatistics>(&observed(vec![facts], vec![activity(1, 500, Some(90))])).len()
        };
        assert_eq!(with(|_| ()), 1);
        assert_eq!(with(|facts| facts.kind = 'm'), 1);
        assert_eq!(with(|facts| facts.kind = 't'), 0);
        assert_eq!(with(|facts| facts.owned_by_extension = true), 0);
        let mut standby = observed(vec![], vec![]);
        standby.server.is_standby = true;
        assert!(claims::<StaleStatistics>(&standby).is_err());
    }

    #[test]
    fn partitions_are_told_together() {
        let mut whole = table(1, "t", -1.0, 0.0);
        whole.kind = 'p';
        let part = |oid: u32| TableFacts {
            partition_of: Some(1),
            ..table(oid, &format!("part_{oid}"), 2_000.0, 0.0)
        };
        let facts = vec![whole, part(2), part(3), part(4)];
        let activity = vec![
            activity(2, 500, Some(90)),
            activity(3, 600, Some(90)),
            activity(4, 0, None),
        ];
        let found = found::<StaleStatistics>(&observed(facts, activity)).unwrap();
        assert_eq!((found.claims.len(), found.undecided.len()), (1, 0));
        let claim = &found.claims[0];
        assert_eq!(claim.subject, ["public", "t"]);
        assert_eq!(claim.evidence["stale_partitions"], json!(2));
        assert_eq!(claim.evidence["modified_rows"], json!(600));
        assert_eq!(claim.remedy.apply_sql, ["ANALYZE public.t"]);
    }

    #[test]
    fn why_autovacuum_did_not_come_is_told() {
        let caveat = |options: Vec<String>, autovacuum: &str| {
            let facts = TableFacts {
                options,
                ..table(1, "t", 2_000.0, 0.0)
            };
            let mut observed = observed(vec![facts], vec![activity(1, 500, Some(90))]);
            set(&mut observed, "autovacuum", autovacuum);
            claims::<StaleStatistics>(&observed)
                .unwrap()
                .remove(0)
                .remedy
                .caveats
                .remove(0)
        };
        assert!(caveat(vec!["autovacuum_enabled=off".into()], "on").contains("see vacuum.disabled"));
        assert!(caveat(vec![], "off").contains("see vacuum.autovacuum_off"));
        assert!(caveat(vec![], "on").contains("workers are all busy"));
    }
}
