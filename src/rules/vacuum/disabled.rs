//! vacuum.disabled

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::catalog::{Catalog, TableFacts};
use crate::model::finding::{Claim, Severity};
use crate::model::observation::{DatabaseObservation, Unknown};
use crate::model::remedy::{Remedy, Statement, qualified, quote_literal};
use crate::model::unit::{Period, count_for_people};
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence, number, table_object};

/// A table for which autovacuum is switched off.
///
/// ## Why it is bad
/// Its dead row versions pile up, its statistics grow old, and its pages are never marked as all-visible. Once its oldest row
/// is as old as autovacuum_freeze_max_age, autovacuum comes all the same, with all the work that was put off, at a time that
/// nobody has chosen.
///
/// ## What to do
/// Reset the storage parameter. If autovacuum was in the way, make it gentler for that table (autovacuum_vacuum_cost_delay)
/// or let it come earlier and so have less to do (autovacuum_vacuum_scale_factor).
///
/// ## When it is wrong to obey
/// During a bulk load, or where a job of your own runs VACUUM and ANALYZE: a table that was vacuumed within
/// `vacuumed_within` is worth a word, not a warning.
///
/// It is critical where the oldest row is half way to the end of the transaction ids, of 2^31: not half way to
/// autovacuum_freeze_max_age, an age that healthy tables reach, too. The TOAST table has a parameter of its own
/// (toast.autovacuum_enabled) and is told with its table; where it has none it follows the table. Partitions are told
/// together, with their parent. Tables of extensions are left out. Source: PostgreSQL's chapter "Automatic Vacuuming".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Disabled {
    /// Tables with fewer rows are left out, if they are not old: the switched-off partitions of a table count together.
    min_rows: i64,
    /// Share of 2^31 transactions, 0 to 1, from which the age of the oldest row makes it critical, with any number of rows.
    critical_age_share: f64,
    /// Something else vacuums a table if it was vacuumed within this time.
    vacuumed_within: Period,
}

impl Default for Disabled {
    fn default() -> Self {
        Self {
            min_rows: 10_000,
            critical_age_share: 0.5,
            vacuumed_within: Period::days(1),
        }
    }
}

/// Transaction ids that there are on one side of the circle.
const IDS: f64 = 2_147_483_648.0;
/// Partitions that a remedy names.
pub(super) const NAMED: usize = 20;
const ENABLED: &str = "autovacuum_enabled";
const TOAST_ENABLED: &str = "toast.autovacuum_enabled";

/// A table, or a partition, that autovacuum leaves alone.
#[derive(Clone, Copy)]
struct Part<'a> {
    table: &'a TableFacts,
    /// By its own parameter; else only that of its TOAST table is meant.
    is_off: bool,
    is_toast_off: bool,
    rows: f64,
    is_uncounted: bool,
    age: i64,
    vacuumed_at: Option<DateTime<Utc>>,
}

/// The rows of a table, at least, and whether there may be more because nobody has counted them.
pub(super) fn rows(database: &DatabaseObservation, table: &TableFacts) -> (f64, bool) {
    let seen = database.table(table.oid);
    let live = seen.map_or(0.0, |seen| seen.live_rows as f64);
    match seen.is_some_and(|seen| seen.rows_were_counted) {
        true => (live, false),
        // what was added since the counters began is less than there is
        false => (table.rows.max(live).max(0.0), table.rows < 0.0),
    }
}

/// The table at the top of the partitions to which a table belongs, else itself.
pub(super) fn top<'a>(catalog: &'a Catalog, table: &'a TableFacts) -> &'a TableFacts {
    let parent = table.partition_of.and_then(|oid| catalog.tables.get(oid));
    parent.unwrap_or(table)
}

/// The subject of a table.
pub(super) fn subject(table: &TableFacts) -> Vec<String> {
    vec![table.schema.clone(), table.name.clone()]
}

/// Every table and partition with something switched off, by the OID of the table on top: the most rows first.
fn switched_off(database: &DatabaseObservation) -> Vec<(&TableFacts, Vec<Part<'_>>)> {
    let catalog = &database.catalog;
    let mut parts: HashMap<u32, Part<'_>> = HashMap::new();
    let is_off = |table: &TableFacts| table.option_is_on(ENABLED) == Some(false);
    for facts in catalog.tables.values() {
        let owner = facts.toast_of.and_then(|oid| catalog.tables.get(oid));
        let table = owner.unwrap_or(facts);
        // a TOAST table without a word of its own follows its table
        let is_followed = owner.is_some_and(is_off) && facts.option(ENABLED).is_none();
        let is_meant = ['r', 'm', 't'].contains(&facts.kind) && (is_off(facts) || is_followed);
        if !is_meant || table.owned_by_extension || facts.kind == 't' && owner.is_none() {
            continue;
        }
        let (rows, is_uncounted) = rows(database, table);
        let part = parts.entry(table.oid).or_insert(Part {
            table,
            is_off: is_off(table),
            is_toast_off: false,
            // of one whose TOAST table alone is meant, that one's rows count
            rows: if is_off(table) { rows } else { 0.0 },
            is_uncounted: is_off(table) && is_uncounted,
            age: 0,
            vacuumed_at: database.table(table.oid).and_then(|seen| seen.last_vacuum_at),
        });
        part.age = part.age.max(facts.frozen_xid_age);
        if facts.kind == 't' {
            part.is_toast_off |= !is_followed;
            part.is_uncounted |= !is_followed && facts.rows < 0.0;
            // nobody may have counted it yet, since ANALYZE passes it by
            part.rows = part.rows.max(facts.rows).max(facts.toast_live_rows);
        }
    }
    let mut tables: HashMap<u32, (&TableFacts, Vec<Part<'_>>)> = HashMap::new();
    for part in parts.into_values() {
        let top = top(catalog, part.table);
        tables.entry(top.oid).or_insert((top, Vec::new())).1.push(part);
    }
    let mut tables: Vec<_> = tables.into_values().collect();
    tables.sort_by_key(|(table, _)| table.oid);
    for (_, parts) in &mut tables {
        parts.sort_by(|a, b| {
            b.rows
                .total_cmp(&a.rows)
                .then_with(|| a.table.names().cmp(&b.table.names()))
        });
    }
    tables
}

impl Rule for Disabled {
    const ID: &'static str = "vacuum.disabled";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let mut found = Found::default();
        let mut claims = Vec::new();
        for (table, parts) in switched_off(database) {
            match self.severity(place, &parts) {
                Some(severity) => claims.push((severity, table, parts)),
                // a small table is not worth a word, and keeps what was said of it as long as nobody has counted it
                None if parts.iter().any(|part| part.is_uncounted) => found.undecided.push(subject(table)),
                None => {}
            }
        }
        claims.sort_by(|(a, of_a, a_parts), (b, of_b, b_parts)| {
            let by_rows = b.cmp(a).then(all_rows(b_parts).total_cmp(&all_rows(a_parts)));
            by_rows.then_with(|| of_a.names().cmp(&of_b.names()))
        });
        for (severity, table, parts) in claims {
            found.claim_worst_first(place, || subject(table), || claim(place, severity, table, &parts));
        }
        Ok(found)
    }
}

fn all_rows(parts: &[Part<'_>]) -> f64 {
    parts.iter().map(|part| part.rows).sum()
}

fn oldest(parts: &[Part<'_>]) -> i64 {
    parts.iter().map(|part| part.age).max().unwrap_or(0)
}

impl Disabled {
    fn severity(&self, place: &Place<'_>, parts: &[Part<'_>]) -> Option<Severity> {
        if oldest(parts) as f64 >= self.critical_age_share * IDS {
            return Some(Severity::Critical);
        }
        let since = place.observation.now - self.vacuumed_within.as_delta();
        // of a TOAST table alone it is not known who vacuums it
        let is_vacuumed = |part: &Part<'_>| part.is_off && part.vacuumed_at.is_some_and(|at| at >= since);
        (all_rows(parts) >= self.min_rows as f64).then(|| match parts.iter().all(is_vacuumed) {
            true => Severity::Info,
            false => Severity::Warning,
        })
    }
}

fn claim(place: &Place<'_>, severity: Severity, table: &TableFacts, parts: &[Part<'_>]) -> Claim {
    let (schema, name) = (&table.schema, &table.name);
    let is_whole = table.kind == 'p';
    let what = match parts {
        parts if is_whole => format!("{} partitions of {schema}.{name}", parts.len()),
        [part] if !part.is_off => format!("the TOAST table of {schema}.{name}"),
        _ => format!("{schema}.{name}"),
    };
    let vacuumed_at = parts.iter().map(|part| part.vacuumed_at).min().flatten();
    let mut guards = Guards::default();
    guards.checked("the parameters of the TOAST tables, too");
    match parts.iter().any(|part| part.is_uncounted) {
        true => {
            guards.not_checked("how many rows it has in all: neither VACUUM nor ANALYZE has counted them")
        }
        false => guards.checked("how many rows it has"),
    }
    let regclass = format!("{}::regclass", quote_literal(&qualified(schema, name)));
    let which = match is_whole {
        true => format!(
            "c.oid IN (SELECT relid FROM pg_partition_tree({regclass})) AND c.reloptions::text LIKE '%autovacuum_enabled%'"
        ),
        false => format!(
            "c.oid = {regclass} OR c.oid = (SELECT t.reltoastrelid FROM pg_class AS t WHERE t.oid = {regclass})"
        ),
    };
    Claim {
        title: format!("Autovacuum is off for {what}"),
        explanation: format!(
            "Autovacuum leaves {what} alone, {} rows: dead row versions pile up and statistics grow old, until the oldest row is \
             so old that it comes all the same, with everything that was put off. The oldest row is {} transactions old. Switch \
             it on again, or see that something else vacuums and analyzes.",
            count_for_people(all_rows(parts)),
            count_for_people(oldest(parts) as f64)
        ),
        evidence: evidence([
            ("rows", json!(all_rows(parts) as i64)),
            ("frozen_xid_age", json!(oldest(parts))),
            ("used_ratio", number(oldest(parts) as f64 / IDS)),
            ("last_vacuum_at", json!(vacuumed_at)),
            (
                "storage_parameters",
                json!(parts.first().map(|part| &part.table.options)),
            ),
            ("partitions_off", json!(is_whole.then_some(parts.len()))),
        ]),
        evidence_sql: Some(format!(
            "SELECT c.oid::regclass, c.reltuples::bigint, c.reloptions, age(c.relfrozenxid) FROM pg_class AS c\n  WHERE {which}"
        )),
        confidence: guards.confidence("read from the catalog"),
        remedy: remedy(place, parts),
        guards: guards.told(),
        ..place.claim(Disabled::ID, severity, subject(table), Some(table_object(table)))
    }
}

fn remedy(place: &Place<'_>, parts: &[Part<'_>]) -> Remedy {
    let named = || {
        let each = parts.iter().take(NAMED).flat_map(|part| {
            let own = part.is_off.then_some((part.table, ENABLED));
            own.into_iter()
                .chain(part.is_toast_off.then_some((part.table, TOAST_ENABLED)))
        });
        each.map(|(table, name)| (table.schema.clone(), table.name.clone(), name))
    };
    let reset =
        named().map(|(schema, table, name)| Statement::ResetStorageParameter { schema, table, name }.sql());
    let set = named().map(|(schema, table, name)| {
        let value = "off".to_owned();
        let statement = Statement::SetStorageParameter {
            schema,
            table,
            name,
            value,
        };
        statement.sql()
    });
    let mut remedy = Remedy {
        apply_sql: reset.collect(),
        undo_sql: set.collect(),
        lock: Some("SHARE UPDATE EXCLUSIVE".to_owned()),
        rewrites_table: Some(false),
        extra_disk_bytes: Some(0.0),
        caveats: vec![
            "Autovacuum has everything to catch up with that was put off: expect some load, or run VACUUM (ANALYZE) yourself \
             in a quiet hour first."
                .to_owned(),
        ],
        ..Remedy::default()
    };
    if parts.len() > NAMED {
        remedy.caveats.push(format!(
            "These are the {NAMED} fullest of {} partitions.",
            parts.len()
        ));
    }
    let autovacuum = place.observation.server.settings.get("autovacuum");
    if autovacuum.is_some_and(|setting| setting.value == "off") {
        remedy
            .caveats
            .push("Autovacuum is off for the whole server: see vacuum.autovacuum_off.".to_owned());
    }
    remedy
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    use crate::model::observation::{Observation, TableObservation};
    use crate::rules::testing::{claims, found, now, severities, table, tables};

    fn off(oid: u32, name: &str, rows: f64) -> TableFacts {
        TableFacts {
            options: vec!["autovacuum_enabled=false".into()],
            ..table(oid, name, rows, 0.0)
        }
    }

    /// The TOAST table of the table with OID 1.
    fn toast(rows: f64, options: &[&str]) -> TableFacts {
        TableFacts {
            kind: 't',
            schema: "pg_toast".into(),
            toast_of: Some(1),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..table(2, "pg_toast_1", rows, 0.0)
        }
    }

    fn said(facts: Vec<TableFacts>) -> Vec<Severity> {
        severities::<Disabled>(&tables(facts))
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        assert_eq!(said(vec![off(1, "t", 9_999.0)]), []);
        assert_eq!(said(vec![off(1, "t", 10_000.0)]), [Severity::Warning]);
        assert_eq!(said(vec![table(1, "t", 1e9, 0.0)]), []);
        let of_age = |frozen_xid_age: i64| {
            said(vec![TableFacts {
                frozen_xid_age,
                ..off(1, "t", 1.0)
            }])
        };
        assert_eq!(of_age(1_073_741_823), []);
        assert_eq!(of_age(1_073_741_824), [Severity::Critical]);
        let owned = TableFacts {
            owned_by_extension: true,
            ..off(1, "t", 1e6)
        };
        assert_eq!(said(vec![owned]), []);
    }

    #[test]
    fn its_toast_table_is_told_with_it() {
        let claim = |facts: Vec<TableFacts>| claims::<Disabled>(&tables(facts)).unwrap().remove(0);
        let alone = claim(vec![
            table(1, "t", 10.0, 0.0),
            toast(10_000.0, &["autovacuum_enabled=off"]),
        ]);
        assert_eq!(
            (alone.severity, alone.subject),
            (Severity::Warning, vec!["public".to_owned(), "t".to_owned()])
        );
        assert_eq!(alone.title, "Autovacuum is off for the TOAST table of public.t");
        assert_eq!(
            alone.remedy.apply_sql,
            ["ALTER TABLE public.t RESET (toast.autovacuum_enabled)"]
        );
        assert_eq!(
            alone.remedy.undo_sql,
            ["ALTER TABLE public.t SET (toast.autovacuum_enabled = 'off')"]
        );
        let following = claim(vec![off(1, "t", 10.0), toast(10_000.0, &[])]);
        assert_eq!(
            following.remedy.apply_sql,
            ["ALTER TABLE public.t RESET (autovacuum_enabled)"]
        );
        let both = claim(vec![
            off(1, "t", 10_000.0),
            toast(10.0, &["autovacuum_enabled=off"]),
        ]);
        assert_eq!(both.remedy.apply_sql.len(), 2);
        assert_eq!(
            said(vec![
                off(1, "t", 10.0),
                toast(10_000.0, &["autovacuum_enabled=on"])
            ]),
            []
        );
        let small = toast(10.0, &["autovacuum_enabled=off"]);
        assert_eq!(
            said(vec![table(1, "t", 1e6, 0.0), small]),
            [],
            "the rows of the TOAST table count"
        );
        let mut never_vacuumed = toast(-1.0, &["autovacuum_enabled=off"]);
        let of_live =
            |never_vacuumed: &TableFacts| said(vec![table(1, "t", 10.0, 0.0), never_vacuumed.clone()]);
        assert_eq!(of_live(&never_vacuumed), []);
        never_vacuumed.toast_live_rows = 10_000.0;
        assert_eq!(of_live(&never_vacuumed), [Severity::Warning]);
        let mut old = toast(10.0, &[]);
        old.frozen_xid_age = 1_200_000_000;
        assert_eq!(said(vec![off(1, "t", 10.0), old]), [Severity::Critical]);
    }

    #[test]
    fn partitions_are_told_together() {
        let mut whole = table(1, "t", -1.0, 0.0);
        whole.kind = 'p';
        let part = |oid: u32| TableFacts {
            partition_of: Some(1),
            ..off(oid, &format!("part_{oid}"), 500.0)
        };
        let parts = |count: u32| {
            [whole.clone()]
                .into_iter()
                .chain((10..10 + count).map(part))
                .collect::<Vec<_>>()
        };
        assert_eq!(said(parts(19)), []);
        let twenty = claims::<Disabled>(&tables(parts(20))).unwrap().remove(0);
        assert_eq!(twenty.subject, ["public", "t"]);
        assert_eq!(
            (twenty.remedy.apply_sql.len(), twenty.remedy.caveats.len()),
            (20, 1)
        );
        assert_eq!(
            twenty.remedy.apply_sql[0],
            "ALTER TABLE public.part_10 RESET (autovacuum_enabled)"
        );
        let more = claims::<Disabled>(&tables(parts(21))).unwrap().remove(0);
        assert_eq!((more.remedy.apply_sql.len(), more.remedy.caveats.len()), (20, 2));
    }

    fn seen(
        rows: f64,
        live_rows: i64,
        rows_were_counted: bool,
        vacuumed_hours_ago: Option<i64>,
    ) -> Observation {
        let mut observed = tables(vec![off(1, "t", rows)]);
        observed.databases[0].tables = vec![TableObservation {
            oid: 1,
            live_rows,
            rows_were_counted,
            last_vacuum_at: vacuumed_hours_ago.map(|hours| now() - TimeDelta::hours(hours)),
            ..TableObservation::default()
        }];
        observed
    }

    #[test]
    fn what_a_job_vacuums_is_worth_a_word_only() {
        assert_eq!(
            severities::<Disabled>(&seen(0.0, 10_000, true, Some(24))),
            [Severity::Info]
        );
        assert_eq!(
            severities::<Disabled>(&seen(0.0, 10_000, true, Some(25))),
            [Severity::Warning]
        );
        assert_eq!(
            severities::<Disabled>(&seen(0.0, 10_000, true, None)),
            [Severity::Warning]
        );
    }

    #[test]
    fn rows_that_nobody_has_counted_are_unknown() {
        let judged = |rows: f64, live_rows: i64, counted: bool| {
            let found = found::<Disabled>(&seen(rows, live_rows, counted, None)).unwrap();
            (found.claims.len(), found.undecided.len())
        };
        assert_eq!(judged(-1.0, 10, false), (0, 1));
        assert_eq!(judged(-1.0, 10_000, false), (1, 0));
        assert_eq!(judged(1e6, 10, true), (0, 0));
        let mut standby = seen(1e6, 0, false, None);
        standby.server.is_standby = true;
        assert!(found::<Disabled>(&standby).is_err());
    }
}
