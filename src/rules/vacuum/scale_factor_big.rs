//! vacuum.scale_factor_big

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::disabled::{NAMED, rows, subject, top};
use crate::model::catalog::TableFacts;
use crate::model::finding::{Claim, Severity};
use crate::model::observation::{DatabaseObservation, TableDelta, TableObservation, Unknown};
use crate::model::remedy::{Remedy, Statement, qualified, quote_literal};
use crate::model::snapshot::ServerFacts;
use crate::model::unit::{Period, count_for_people};
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence, number, settings, table_object};

/// A large table to which autovacuum comes only after a fifth of its rows are dead.
///
/// ## Why it is bad
/// Autovacuum comes after autovacuum_vacuum_threshold + autovacuum_vacuum_scale_factor × rows dead row versions. With the
/// default of 0.2 a table of 100 million rows gathers 20 million of them first: it grows by a fifth, scans read them all, and
/// each run is long and heavy.
///
/// ## What to do
/// Give the table a smaller scale factor of its own, 0.01 to 0.05 by its size. Autovacuum then comes often and has little to
/// do each time.
///
/// ## When it is wrong to obey
/// Where all rows are written anew in one nightly job, one VACUUM after that is better. Where rows are only added there is
/// nothing to vacuum away: a table with hardly any dead row versions is left out, if its last VACUUM was a day ago or nothing
/// is seen to update or delete rows. While that is not known, *not checked* says so.
///
/// The storage parameter of a table counts before the server's setting. From 18 on autovacuum_vacuum_max_threshold (100
/// million rows) bounds the threshold: nothing is said where it brings autovacuum as soon as a scale factor of 0.05 would.
/// Each partition has a threshold and parameters of its own and is judged by its own rows; they are told together, with
/// their parent. Left out are tables of extensions and those for which autovacuum is off (vacuum.disabled). Source:
/// PostgreSQL's chapter "Routine Vacuuming".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleFactorBig {
    /// Tables and partitions with fewer rows are left out.
    min_rows: i64,
    /// The scale factor in force from which it is worth a word.
    min_scale_factor: f64,
    /// Share of dead row versions, 0 to 1, below which rows are taken to be only added.
    min_dead_share: f64,
    /// For so long after a VACUUM few dead row versions prove nothing, unless nothing is seen to update or delete rows.
    quiet_time: Period,
}

impl Default for ScaleFactorBig {
    fn default() -> Self {
        Self {
            min_rows: 10_000_000,
            min_scale_factor: 0.2,
            min_dead_share: 0.001,
            quiet_time: Period::days(1),
        }
    }
}

const SCALE: &str = "autovacuum_vacuum_scale_factor";
const BASE: &str = "autovacuum_vacuum_threshold";
const CEILING: &str = "autovacuum_vacuum_max_threshold";
/// Where the threshold is no larger than this scale factor would make it, nothing is said.
const SMALL: f64 = 0.05;

/// A table, or a partition, whose scale factor is too big for it.
struct Part<'a> {
    table: &'a TableFacts,
    rows: f64,
    scale: f64,
    threshold: f64,
    proposed: &'static str,
    proposed_threshold: f64,
    changes: Option<&'a TableDelta>,
    /// At least.
    dead_rows: i64,
    /// Hardly any rows are dead, as far as was counted, and whether some are updated or deleted is not known.
    is_untold: bool,
}

/// Tables with those parts of them that are meant, by the OID of the table.
type Parts<'a> = BTreeMap<u32, (&'a TableFacts, Vec<Part<'a>>)>;

/// A smaller scale factor for so many rows: some hundred thousand to some million dead row versions.
fn proposed(rows: f64) -> &'static str {
    match rows {
        rows if rows >= 100e6 => "0.01",
        rows if rows >= 30e6 => "0.02",
        _ => "0.05",
    }
}

/// What a database's server says of autovacuum, for tables that have no parameters of their own.
struct ServersOwn {
    scale: f64,
    base: Option<f64>,
    ceiling: Option<f64>,
}

impl ServersOwn {
    fn of(server: &ServerFacts, scale: f64) -> Self {
        Self {
            scale,
            base: server.setting_number(BASE),
            ceiling: server.setting_number(CEILING),
        }
    }
}

/// Autovacuum's formula with the parameters of one table.
struct Formula {
    scale: f64,
    base: f64,
    /// None before 18, or where it is switched off.
    ceiling: Option<f64>,
}

impl Formula {
    fn of(table: &TableFacts, servers: &ServersOwn) -> Self {
        let own = |name: &str| table.option(name).and_then(|value| value.parse::<f64>().ok());
        let ceiling = own(CEILING).or(servers.ceiling);
        Self {
            scale: own(SCALE).unwrap_or(servers.scale),
            base: own(BASE).or(servers.base).unwrap_or(50.0),
            ceiling: ceiling.filter(|ceiling| *ceiling >= 0.0),
        }
    }

    fn threshold(&self, scale: f64, rows: f64) -> f64 {
        let threshold = self.base + scale * rows;
        self.ceiling.map_or(threshold, |ceiling| threshold.min(ceiling))
    }
}

/// What was changed in a table over a window, where that is known.
fn changes(database: &DatabaseObservation, oid: u32) -> Option<&TableDelta> {
    let activity = database.table_activity.as_ref().ok()?;
    let at = activity.binary_search_by_key(&oid, |table| table.oid).ok()?;
    activity[at].over.as_ref()
}

/// The tables with the largest parts first, and the largest of their parts first.
fn largest_first(tables: Parts<'_>) -> Vec<(&TableFacts, Vec<Part<'_>>)> {
    let mut tables: Vec<_> = tables.into_values().collect();
    for (_, parts) in &mut tables {
        parts.sort_by(|a, b| {
            let by_rows = b.rows.total_cmp(&a.rows);
            by_rows.then_with(|| a.table.names().cmp(&b.table.names()))
        });
    }
    let most = |parts: &[Part<'_>]| parts.first().map_or(0.0, |part| part.rows);
    tables.sort_by(|(a, a_parts), (b, b_parts)| {
        let by_rows = most(b_parts).total_cmp(&most(a_parts));
        by_rows.then_with(|| a.names().cmp(&b.names()))
    });
    tables
}

/// Ordinary tables of people to which autovacuum comes.
fn is_judged(table: &TableFacts) -> bool {
    let is_systems = ["pg_catalog", "information_schema"].contains(&table.schema.as_str());
    let is_off = table.option_is_on("autovacuum_enabled") == Some(false);
    table.kind == 'r' && !table.owned_by_extension && !is_systems && !is_off
}

impl Rule for ScaleFactorBig {
    const ID: &'static str = "vacuum.scale_factor_big";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let setting = settings::servers_own(place, SCALE)?;
        let Ok(servers_scale) = setting.value.parse::<f64>() else {
            return Err(Unknown::because(format!("{SCALE} is no number")));
        };
        let servers = ServersOwn::of(&place.observation.server, servers_scale);
        let catalog = &database.catalog;
        let mut uncounted: BTreeMap<u32, &TableFacts> = BTreeMap::new();
        let mut tables = Parts::new();
        for table in catalog.tables.values().filter(|table| is_judged(table)) {
            let formula = Formula::of(table, &servers);
            let (rows, is_uncounted) = rows(database, table);
            let top = top(catalog, table);
            match self.part(place.observation.now, database, table, &formula, rows) {
                // an append-only table that was vacuumed for its new rows looks the same
                Some(part) if part.is_untold => _ = uncounted.insert(top.oid, top),
                Some(part) => tables.entry(top.oid).or_insert((top, Vec::new())).1.push(part),
                // there may be more rows than are known
                None if is_uncounted && formula.scale >= self.min_scale_factor => {
                    uncounted.insert(top.oid, top);
                }
                None => {}
            }
        }
        // what is said of some partitions is said of their table
        let silent = uncounted.into_iter().filter(|(oid, _)| !tables.contains_key(oid));
        let mut found = Found {
            undecided: silent.map(|(_, table)| subject(table)).collect(),
            ..Found::default()
        };
        for (table, parts) in &largest_first(tables) {
            if let [largest, ..] = &parts[..] {
                found.claim_worst_first(
                    place,
                    || subject(table),
                    || self.claim(place, table, parts, largest),
                );
            }
        }
        Ok(found)
    }
}

impl ScaleFactorBig {
    /// The table, if its scale factor is too big for its rows and a smaller one would change something.
    fn part<'a>(
        &self,
        now: DateTime<Utc>,
        database: &'a DatabaseObservation,
        table: &'a TableFacts,
        formula: &Formula,
        rows: f64,
    ) -> Option<Part<'a>> {
        let proposed = proposed(rows);
        let smaller: f64 = proposed.parse().ok()?;
        let threshold = formula.threshold(formula.scale, rows);
        if rows < self.min_rows as f64
            || formula.scale < self.min_scale_factor
            || formula.scale <= smaller
            || threshold <= formula.base + SMALL * rows
        {
            return None;
        }
        let changes = changes(database, table.oid);
        let seen = database.table(table.oid);
        if seen.is_some_and(|seen| self.is_only_added_to(now, seen, changes, rows)) {
            return None;
        }
        Some(Part {
            table,
            rows,
            scale: formula.scale,
            threshold,
            proposed,
            proposed_threshold: formula.threshold(smaller, rows),
            changes,
            is_untold: changes.is_none() && seen.is_some_and(|seen| self.is_clean(seen, rows)),
            dead_rows: seen.map_or(0, |seen| seen.dead_rows),
        })
    }

    /// Whether there is nothing to vacuum away because rows are only added.
    fn is_only_added_to(
        &self,
        now: DateTime<Utc>,
        seen: &TableObservation,
        changes: Option<&TableDelta>,
        rows: f64,
    ) -> bool {
        let is_unchanged = changes.is_some_and(|over| over.updated + over.deleted == 0);
        let is_long_ago = |at: DateTime<Utc>| now - at >= self.quiet_time.as_delta();
        self.is_clean(seen, rows) && (is_unchanged || seen.last_vacuum_at.is_none_or(is_long_ago))
    }

    /// Whether hardly any of its rows are dead.
    fn is_clean(&self, seen: &TableObservation, rows: f64) -> bool {
        seen.rows_were_counted && (seen.dead_rows as f64) < self.min_dead_share * rows
    }

    fn claim(&self, place: &Place<'_>, table: &TableFacts, parts: &[Part<'_>], largest: &Part<'_>) -> Claim {
        let is_whole = table.kind == 'p';
        let (schema, name) = (&table.schema, &table.name);
        let what = match is_whole {
            true => format!("{} partitions of {schema}.{name}", parts.len()),
            false => format!("{schema}.{name}"),
        };
        let changed = largest
            .changes
            .map(|over| over.per_hour(over.updated + over.deleted));
        let mut guards = Guards::default();
        guards.checked("autovacuum is not switched off for it");
        guards.checked("its own storage parameters, and autovacuum_vacuum_max_threshold");
        match largest.dead_rows > 0 || changed.is_some_and(|rate| rate > 0.0) {
            true => guards.checked("rows are updated or deleted"),
            false => guards.not_checked("whether its rows are ever updated or deleted"),
        }
        let of = if is_whole { ", in the largest of them" } else { "" };
        Claim {
            title: format!(
                "Autovacuum comes to {what} after {:.0} % of the rows are dead",
                largest.threshold / largest.rows * 100.0
            ),
            explanation: format!(
                "With a scale factor of {} autovacuum comes to {what} only after {} of {} rows are dead{of}. By then it has grown \
                 by as much, and the run is long. With {} it comes after {}.",
                largest.scale,
                count_for_people(largest.threshold),
                count_for_people(largest.rows),
                largest.proposed,
                count_for_people(largest.proposed_threshold)
            ),
            evidence: evidence([
                ("rows", json!(largest.rows as i64)),
                ("scale_factor", number(largest.scale)),
                ("vacuum_threshold_rows", json!(largest.threshold.round())),
                (
                    "proposed_threshold_rows",
                    json!(largest.proposed_threshold.round()),
                ),
                ("dead_rows", json!(largest.dead_rows)),
                ("changed_rows_per_hour", json!(changed.map(f64::round))),
                ("size_bytes", json!(largest.table.size_bytes.max(0.0))),
                ("partitions_meant", json!(is_whole.then_some(parts.len()))),
            ]),
            evidence_sql: Some(evidence_sql(table)),
            confidence: guards.confidence("rows, settings and storage parameters of the server"),
            remedy: remedy(parts),
            guards: guards.told(),
            ..place.claim(
                Self::ID,
                Severity::Info,
                subject(table),
                Some(table_object(table)),
            )
        }
    }
}

fn evidence_sql(table: &TableFacts) -> String {
    let regclass = format!(
        "{}::regclass",
        quote_literal(&qualified(&table.schema, &table.name))
    );
    let which = match table.kind {
        'p' => format!("IN (SELECT relid FROM pg_partition_tree({regclass}) WHERE isleaf)"),
        _ => format!("= {regclass}"),
    };
    format!(
        "SELECT c.oid::regclass, c.reltuples::bigint, c.reloptions, current_setting('{SCALE}') AS of_the_server\n  \
         FROM pg_class AS c WHERE c.oid {which} ORDER BY c.reltuples DESC LIMIT {NAMED}"
    )
}

fn remedy(parts: &[Part<'_>]) -> Remedy {
    let set = |table: &TableFacts, value: &str| Statement::SetStorageParameter {
        schema: table.schema.clone(),
        table: table.name.clone(),
        name: SCALE,
        value: value.to_owned(),
    };
    let back = |table: &TableFacts| match table.option(SCALE) {
        Some(own) => set(table, own),
        None => Statement::ResetStorageParameter {
            schema: table.schema.clone(),
            table: table.name.clone(),
            name: SCALE,
        },
    };
    let named = parts.iter().take(NAMED);
    let mut caveats = vec![
        "Autovacuum comes sooner and more often: see that its workers are not busy all the time, and that \
         autovacuum_vacuum_cost_limit lets them keep up."
            .to_owned(),
    ];
    if parts.len() > NAMED {
        caveats.push(format!(
            "These are the {NAMED} largest of {} partitions.",
            parts.len()
        ));
    }
    if parts.iter().any(|part| part.table.partition_of.is_some()) {
        caveats
            .push("A new partition needs the parameter, too: set it where partitions are made.".to_owned());
    }
    Remedy {
        apply_sql: named
            .clone()
            .map(|part| set(part.table, part.proposed).sql())
            .collect(),
        undo_sql: named.map(|part| back(part.table).sql()).collect(),
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

    use crate::model::finding::ConfidenceLevel;
    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, found, last_hour, now, set, table, tables};

    fn observed(facts: Vec<TableFacts>) -> Observation {
        let mut observed = tables(facts);
        set(&mut observed, SCALE, "0.2");
        observed
    }

    fn said(observed: &Observation) -> usize {
        claims::<ScaleFactorBig>(observed).unwrap().len()
    }

    fn with(rows: f64, options: &[&str]) -> TableFacts {
        TableFacts {
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..table(1, "t", rows, 1e9)
        }
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let of = |rows: f64, options: &[&str]| said(&observed(vec![with(rows, options)]));
        assert_eq!(of(9_999_999.0, &[]), 0);
        assert_eq!(of(10_000_000.0, &[]), 1);
        assert_eq!(of(1e7, &["autovacuum_vacuum_scale_factor=0.19"]), 0);
        assert_eq!(of(1e7, &["autovacuum_vacuum_scale_factor=0.2"]), 1);
        assert_eq!(of(1e7, &["autovacuum_enabled=off"]), 0);
        let mut small = observed(vec![with(1e9, &[])]);
        set(&mut small, SCALE, "0.1");
        assert_eq!(said(&small), 0);
        let own = with(1e7, &["autovacuum_vacuum_scale_factor=0.4"]);
        let mut own = observed(vec![own]);
        set(&mut own, SCALE, "0.01");
        let claim = claims::<ScaleFactorBig>(&own).unwrap().remove(0);
        assert_eq!(
            claim.remedy.undo_sql,
            ["ALTER TABLE public.t SET (autovacuum_vacuum_scale_factor = 0.4)"]
        );
        let changes: [fn(&mut TableFacts); 3] = [
            |table| table.owned_by_extension = true,
            |table| table.schema = "pg_catalog".into(),
            |table| table.kind = 'm',
        ];
        for change in changes {
            let mut facts = with(1e7, &[]);
            change(&mut facts);
            assert_eq!(said(&observed(vec![facts])), 0);
        }
    }

    #[test]
    fn the_ceiling_of_18_may_be_enough() {
        let of = |rows: f64, ceiling: &str| {
            let mut observed = observed(vec![with(rows, &[])]);
            set(&mut observed, "autovacuum_vacuum_threshold", "50");
            set(&mut observed, "autovacuum_vacuum_max_threshold", ceiling);
            said(&observed)
        };
        // 0.05 of 2 000 000 000 rows, and 50
        assert_eq!(of(2e9, "100000050"), 0);
        assert_eq!(of(2e9, "100000051"), 1);
        assert_eq!(of(2e9, "-1"), 1);
        assert_eq!(of(1e9, "100000000"), 1);
    }

    #[test]
    fn the_scale_factor_grows_smaller_with_the_table() {
        for (rows, expected) in [(29e6, "0.05"), (30e6, "0.02"), (99e6, "0.02"), (100e6, "0.01")] {
            let claim = claims::<ScaleFactorBig>(&observed(vec![with(rows, &[])]))
                .unwrap()
                .remove(0);
            let set = format!("ALTER TABLE public.t SET (autovacuum_vacuum_scale_factor = {expected})");
            assert_eq!(claim.remedy.apply_sql, [set]);
            assert_eq!(
                claim.remedy.undo_sql,
                ["ALTER TABLE public.t RESET (autovacuum_vacuum_scale_factor)"]
            );
        }
    }

    #[test]
    fn where_rows_are_only_added_nothing_is_said() {
        let told = |dead_rows: i64, vacuumed_hours_ago: Option<i64>, updated: Option<i64>| {
            let mut observed = observed(vec![with(1e7, &[])]);
            let database = &mut observed.databases[0];
            database.tables = vec![TableObservation {
                oid: 1,
                live_rows: 10_000_000,
                dead_rows,
                rows_were_counted: true,
                last_vacuum_at: vacuumed_hours_ago.map(|hours| now() - TimeDelta::hours(hours)),
                ..TableObservation::default()
            }];
            if let Some(updated) = updated {
                database.table_activity = Ok(vec![last_hour(1, |over| over.updated = updated)]);
            }
            let claims = claims::<ScaleFactorBig>(&observed).unwrap();
            claims.first().map(|claim| claim.confidence.level)
        };
        assert_eq!(told(9_999, None, None), None);
        assert_eq!(told(10_000, None, None), Some(ConfidenceLevel::Measured));
        assert_eq!(told(9_999, Some(24), Some(7)), None);
        assert_eq!(told(9_999, Some(23), Some(7)), Some(ConfidenceLevel::Measured));
        assert_eq!(told(9_999, Some(23), Some(0)), None);
        assert_eq!(told(0, Some(23), None), None, "nobody can tell");
        assert_eq!(said(&observed(vec![with(1e7, &[])])), 1, "nobody has counted");
    }

    #[test]
    fn each_partition_is_judged_and_told_with_its_parent() {
        let mut whole = table(1, "t", 1e9, 0.0);
        whole.kind = 'p';
        let part = |oid: u32, rows: f64| TableFacts {
            partition_of: Some(1),
            ..table(oid, &format!("part_{oid}"), rows, 1e9)
        };
        let few = observed(vec![whole.clone(), part(2, 5e6), part(3, 1e7), part(4, 4e7)]);
        let claim = claims::<ScaleFactorBig>(&few).unwrap().remove(0);
        assert_eq!(claim.subject, ["public", "t"]);
        assert_eq!(claim.evidence["partitions_meant"], json!(2));
        assert_eq!(
            claim.remedy.apply_sql,
            [
                "ALTER TABLE public.part_4 SET (autovacuum_vacuum_scale_factor = 0.02)",
                "ALTER TABLE public.part_3 SET (autovacuum_vacuum_scale_factor = 0.05)"
            ]
        );
        let many = (10..31).map(|oid| part(oid, 1e7)).chain([whole]).collect();
        let claim = claims::<ScaleFactorBig>(&observed(many)).unwrap().remove(0);
        assert_eq!(claim.remedy.apply_sql.len(), 20);
        assert!(
            claim
                .remedy
                .caveats
                .iter()
                .any(|caveat| caveat == "These are the 20 largest of 21 partitions.")
        );
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let mut uncounted = observed(vec![with(-1.0, &[])]);
        assert_eq!(
            found::<ScaleFactorBig>(&uncounted).unwrap().undecided,
            [["public", "t"]]
        );
        uncounted.databases[0].tables = vec![TableObservation {
            oid: 1,
            live_rows: 10_000_000,
            ..TableObservation::default()
        }];
        assert_eq!(said(&uncounted), 1);
        let mut hidden = observed(vec![with(1e7, &[])]);
        hidden.server.settings.get_mut(SCALE).unwrap().source = "user".into();
        assert!(claims::<ScaleFactorBig>(&hidden).is_err());
        assert!(
            claims::<ScaleFactorBig>(&tables(vec![])).is_err(),
            "it was not read"
        );
    }
}
