//! Tables with their partitions, as rules judge them: how they are read and written together.

use std::cell::Cell;
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Found, Guards, number};
use crate::model::catalog::TableFacts;
use crate::model::finding::{Severity, Window};
use crate::model::observation::{DatabaseObservation, TableActivity, TableDelta, Unknown};
use crate::model::remedy::{qualified, quote_literal};
use crate::model::unit::{count_for_people, seconds_for_people};

/// Why nothing is said of a table yet.
pub const NO_WINDOW: &str = "needs two looks an hour apart, or half an hour since a known reset of statistics, to tell how \
                                    tables are read and written";

/// Of a shorter window what was counted is told, and no rate: what a load or a restore did is done.
const RATE_TOLD_FROM_SECONDS: f64 = 3600.0;

/// A table with all of its partitions: they are judged together, once.
pub struct Whole<'a> {
    /// The table, of partitions the one at the top.
    pub table: &'a TableFacts,
    /// What holds its rows: the table itself, or its partitions.
    pub parts: Vec<Part<'a>>,
}

/// A table that holds rows.
pub struct Part<'a> {
    pub facts: &'a TableFacts,
    /// Live rows: as VACUUM and ANALYZE counted them, or by the catalog where that is more than what was added since.
    rows: f64,
    activity: Option<&'a TableActivity>,
}

impl<'a> Part<'a> {
    /// What happened to it over a window.
    pub fn over(&self) -> Option<&'a TableDelta> {
        self.activity?.over.as_ref()
    }
}

impl<'a> Whole<'a> {
    pub fn rows(&self) -> f64 {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// Bytes of its rows, without TOAST and indexes.
    pub fn size_bytes(&self) -> f64 {
        self.parts.iter().map(|part| part.facts.size_bytes).sum()
    }

    fn deltas(&self) -> impl Iterator<Item = &'a TableDelta> {
        self.parts.iter().filter_map(Part::over)
    }

    /// A count of all parts as a rate.
    pub fn per_hour(&self, count: fn(&TableDelta) -> i64) -> f64 {
        self.deltas().map(|delta| delta.per_hour(count(delta))).sum()
    }

    /// The count of the part that has most.
    pub fn most(&self, count: fn(&TableDelta) -> i64) -> i64 {
        self.deltas().map(count).max().unwrap_or(0)
    }

    /// The time in which it was watched, where that is too short to tell what was counted as a rate.
    pub fn short_window(&self) -> Option<Window> {
        let is_short = |window: &Window| window.seconds() < RATE_TOLD_FROM_SECONDS;
        self.window().filter(is_short)
    }

    /// A severity as far as the window supports it: what happened for some seconds need not go on.
    pub fn lower(&self, severity: Severity) -> Severity {
        match self.short_window() {
            Some(_) => severity.min(Severity::Info),
            None => severity,
        }
    }

    /// A count as a rate for people, `7 rows in an hour`; of a window that is too short for a rate what was counted.
    pub fn pace(&self, count: fn(&TableDelta) -> i64, what: &str) -> String {
        match self.short_window() {
            Some(window) => format!(
                "{} {what} in the last {}",
                count_for_people(self.sum(count) as f64),
                seconds_for_people(window.seconds())
            ),
            None => format!("{} {what} in an hour", count_for_people(self.per_hour(count))),
        }
    }

    /// A count as a rate for the evidence; null where the window is too short for one.
    pub fn rate(&self, count: fn(&TableDelta) -> i64) -> Value {
        match self.short_window() {
            Some(_) => Value::Null,
            None => number(self.per_hour(count)),
        }
    }

    /// Says of a window that is too short for a rate that it is.
    pub fn guard_window(&self, guards: &mut Guards) {
        if let Some(window) = self.short_window() {
            guards.not_checked(format!(
                "whether it goes on like that: it was watched for {}, and a rate needs an hour",
                seconds_for_people(window.seconds())
            ));
        }
    }

    /// A count of all parts.
    pub fn sum(&self, count: fn(&TableDelta) -> i64) -> i64 {
        self.deltas().map(count).sum()
    }

    /// The time in which it was watched.
    pub fn window(&self) -> Option<Window> {
        self.deltas().map(|delta| delta.window).reduce(|a, b| Window {
            from: a.from.min(b.from),
            to: a.to.max(b.to),
        })
    }

    /// When one of its parts was read from end to end last; `None` where that is not known (before PostgreSQL 16), or never was.
    pub fn last_sequential_scan_at(&self) -> Option<DateTime<Utc>> {
        let parts = self.parts.iter().filter_map(|part| part.activity);
        parts
            .filter_map(|activity| activity.last_sequential_scan_at)
            .max()
    }

    /// Whether it is there, and how it was used is not known yet.
    pub fn is_unknown(&self) -> bool {
        self.window().is_none() && self.parts.iter().any(|part| part.activity.is_some())
    }

    pub fn subject(&self) -> Vec<String> {
        vec![self.table.schema.clone(), self.table.name.clone()]
    }

    /// The same, to be compared.
    pub fn name(&self) -> (&'a str, &'a str) {
        (&self.table.schema, &self.table.name)
    }

    /// Whether the table or one of its partitions may be meant by a name.
    pub fn is_named(&self, schema: Option<&str>, name: &str) -> bool {
        let mut own = std::iter::once(self.table).chain(self.parts.iter().map(|part| part.facts));
        own.any(|facts| facts.name == name && schema.is_none_or(|schema| facts.schema == schema))
    }

    /// SELECT of columns of pg_stat_user_tables, for psql.
    pub fn evidence_sql(&self, columns: &str) -> String {
        let table = quote_literal(&qualified(&self.table.schema, &self.table.name));
        let which = match self.table.kind {
            'p' => format!("relid IN (SELECT relid FROM pg_partition_tree({table}))"),
            _ => format!("relid = {table}::regclass"),
        };
        format!("SELECT relname, {columns}\n  FROM pg_stat_user_tables WHERE {which}")
    }
}

/// The tables of a database, each with its partitions.
pub struct Wholes<'a> {
    database: &'a DatabaseObservation,
    partitions: HashMap<u32, Vec<&'a TableFacts>>,
    /// Where the next table is expected among those that were observed, and among what happened to them: they are asked for
    /// in the order of their OIDs, which all of them are in.
    next_table: Cell<usize>,
    next_activity: Cell<usize>,
}

/// What has an OID, in a list that is in their order; where it is expected is looked at first.
fn near<'a, T>(all: &'a [T], next: &Cell<usize>, oid: u32, oid_of: fn(&T) -> u32) -> Option<&'a T> {
    let expected = next.get();
    let place = match all.get(expected) {
        Some(one) if oid_of(one) == oid => expected,
        _ => all.binary_search_by_key(&oid, oid_of).ok()?,
    };
    next.set(place + 1);
    all.get(place)
}

impl<'a> Wholes<'a> {
    /// Whether or not it is known how they are read and written.
    pub fn of(database: &'a DatabaseObservation) -> Self {
        let mut partitions: HashMap<u32, Vec<&TableFacts>> = HashMap::new();
        for table in database.catalog.tables.values().filter(|table| table.kind == 'r') {
            if let Some(root) = table.partition_of {
                partitions.entry(root).or_default().push(table);
            }
        }
        Self {
            database,
            partitions,
            next_table: Cell::new(0),
            next_activity: Cell::new(0),
        }
    }

    /// For rules that judge how they are read and written.
    pub fn watched(database: &'a DatabaseObservation) -> Result<Self, Unknown> {
        database.table_activity.as_ref().map_err(Clone::clone)?;
        Ok(Self::of(database))
    }

    /// Each table that is no partition and belongs to no extension.
    pub fn all(&self) -> impl Iterator<Item = Whole<'a>> {
        let is_judged = |table: &&TableFacts| {
            matches!(table.kind, 'r' | 'p') && table.partition_of.is_none() && !table.owned_by_extension
        };
        let tables = self.database.catalog.tables.values().filter(is_judged);
        tables.map(move |table| self.get(table))
    }

    /// One table with its partitions.
    pub fn get(&self, table: &'a TableFacts) -> Whole<'a> {
        let part = |facts: &'a TableFacts| Part {
            facts,
            rows: self.rows(facts),
            activity: self.activity(facts),
        };
        let parts = match table.kind {
            'p' => {
                let partitions = self.partitions.get(&table.oid).into_iter().flatten();
                partitions.map(|facts| part(facts)).collect()
            }
            _ => vec![part(table)],
        };
        Whole { table, parts }
    }

    fn rows(&self, facts: &TableFacts) -> f64 {
        let seen = near(&self.database.tables, &self.next_table, facts.oid, |one| one.oid);
        let rows = match seen {
            Some(seen) if seen.rows_were_counted => seen.live_rows as f64,
            Some(seen) => facts.rows.max(seen.live_rows as f64),
            None => facts.rows,
        };
        rows.max(0.0)
    }

    fn activity(&self, facts: &TableFacts) -> Option<&'a TableActivity> {
        let known = self.database.table_activity.as_ref().ok()?;
        near(known, &self.next_activity, facts.oid, |one| one.oid)
    }
}

/// Tells why some tables are undecided; an error where nothing is known of any.
pub fn tell_undecided(found: &mut Found, is_any_known: bool) -> Result<(), Unknown> {
    match (found.undecided.is_empty(), is_any_known) {
        (true, _) => {}
        (false, false) => return Err(Unknown::because(NO_WINDOW)),
        (false, true) => found.untold = Some(NO_WINDOW.to_owned()),
    }
    Ok(())
}
