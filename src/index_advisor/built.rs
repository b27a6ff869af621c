//! How large a b-tree will be once it is built. HypoPG adds a fifth to every index and knows nothing of deduplication (since
//! PostgreSQL 13 equal keys are stored once, with a list of their rows), so that what it says is up to four times too much.

use super::candidate::Candidate;
use super::clauses::Key;
use super::ready::Ready;
use super::selection::Problem;
use super::tables::{Column, Table};

/// A page without its header and what a b-tree keeps at its end; of that a tenth of the page stays free.
const PAGE: f64 = 8192.0;
const USABLE: f64 = PAGE - 24.0 - 16.0;
const KEPT_FREE: f64 = PAGE / 10.0;
/// Every tuple has a header, and a pointer to it on the page.
const HEADER: f64 = 8.0;
const POINTER: f64 = 4.0;
/// What a row takes in the list of a key, and how long a list gets while an index is built.
const ROW: f64 = 6.0;
const LIST: f64 = 812.0;
/// ANALYZE counts too few values where some are far more frequent than others, and each value has a tuple of its own.
const VALUES: f64 = 2.0;
/// For what is not reckoned with: nulls, columns that vary in length.
const MARGIN: f64 = 1.03;
/// HypoPG's own reckoning: pages filled to nine tenths, and a fifth on top.
const HYPOPG_FACTOR: f64 = 1.3;

/// Bytes of a value of fixed length, and to what multiple it is moved.
fn fixed(type_name: &str) -> Option<(f64, f64)> {
    Some(match type_name {
        "bool" | "char" => (1.0, 1.0),
        "int2" => (2.0, 2.0),
        "int4" | "oid" | "date" | "float4" => (4.0, 4.0),
        "int8" | "float8" | "timestamp" | "timestamptz" | "time" => (8.0, 8.0),
        "uuid" => (16.0, 1.0),
        _ => return None,
    })
}

/// Whether equal values look alike, so that one stands for all: not so numbers that may be written in several ways.
fn is_stored_once(type_name: &str) -> bool {
    match type_name {
        "float4" | "float8" => false,
        "text" | "varchar" | "bpchar" | "bytea" => true,
        _ => fixed(type_name).is_some(),
    }
}

fn moved(bytes: f64, multiple: f64) -> f64 {
    (bytes / multiple).ceil() * multiple
}

/// What an index holds of each row.
struct Row {
    /// Bytes of its columns, in their places.
    bytes: f64,
    /// The same as HypoPG reckons, with its headers.
    hypothetical: f64,
    /// How many different keys there are, if equal ones are stored once.
    keys: Option<f64>,
}

impl Row {
    fn of(candidate: &Candidate, table: &Table) -> Option<Self> {
        let key_columns = candidate.keys.iter().map(|key| match &key.key {
            Key::Column(name) => table.columns.get(name),
            Key::Expression(_) => None,
        });
        let key_columns: Vec<&Column> = key_columns.collect::<Option<_>>()?;
        let included = candidate.include.iter().map(|name| table.columns.get(name));
        let included: Vec<&Column> = included.collect::<Option<_>>()?;
        let (mut bytes, mut widths) = (0.0, 0.0);
        for column in key_columns.iter().chain(&included) {
            let width = column.width_bytes?;
            // a length of one byte goes before short values, which need not be moved
            let (width, multiple) =
                fixed(&column.type_name).unwrap_or((width, if width < 127.0 { 1.0 } else { 4.0 }));
            bytes = moved(bytes, multiple) + width;
            widths += width;
        }
        let count = (key_columns.len() + included.len()) as f64;
        let are_stored_once =
            included.is_empty() && key_columns.iter().all(|column| is_stored_once(&column.type_name));
        let values = key_columns.iter().map(|column| column.values);
        Some(Self {
            bytes,
            hypothetical: widths + HEADER * count + moved(POINTER * count, 8.0),
            keys: values.product::<Option<f64>>().filter(|_| are_stored_once),
        })
    }
}

/// Bytes of a b-tree by what HypoPG says of it; that itself where statistics tell too little.
fn built(candidate: &Candidate, table: &Table, hypothetical: f64) -> f64 {
    let Some(row) = Row::of(candidate, table) else {
        return hypothetical;
    };
    // of a partial index HypoPG alone knows how many rows it has
    let rows = match candidate.predicate {
        None => table.rows,
        Some(_) => hypothetical / PAGE * USABLE / (row.hypothetical * HYPOPG_FACTOR),
    };
    let tuple = moved(HEADER + row.bytes, 8.0);
    let mut leaves = rows * (POINTER + tuple);
    if let Some(keys) = row.keys {
        // each partition has its own
        let parts = table
            .partitions
            .iter()
            .filter(|part| !part.is_partitioned)
            .count()
            .max(1);
        let keys = (keys * VALUES * parts as f64).clamp(1.0, rows.max(1.0));
        let lists = keys * (rows / keys / ((LIST - tuple) / ROW).max(1.0)).ceil();
        leaves = leaves.min(lists * (POINTER + tuple + POINTER) + rows * ROW);
    }
    let pages = leaves / (USABLE - KEPT_FREE - tuple).max(tuple);
    let above = pages * (POINTER + tuple) / USABLE;
    ((pages + above) * PAGE * MARGIN + 2.0 * PAGE).min(hypothetical.max(2.0 * PAGE))
}

/// Bytes that an index counts for within a budget: what HypoPG says. But of a partitioned table HypoPG does not find how wide its
/// columns are, so that there it is what statistics say, where that is more.
pub(super) fn counted(candidate: &Candidate, table: &Table, hypothetical: f64) -> f64 {
    let is_known = table.is_partitioned && candidate.method == "btree" && candidate.predicate.is_none();
    match is_known && Row::of(candidate, table).is_some() {
        true => hypothetical.max(built(candidate, table, f64::INFINITY)),
        false => hypothetical,
    }
}

impl Ready {
    /// What each candidate will take, by its number; `None` where nobody knows.
    pub(super) fn built_sizes(&self, problem: &Problem) -> Vec<Option<f64>> {
        let of = |(one, candidate): (usize, &Candidate)| {
            if let Some(estimated) = self.estimated_sizes.get(&one) {
                return *estimated;
            }
            let size = problem.sizes[one];
            let table = self.tables.get(&candidate.schema, &candidate.table);
            Some(match table.filter(|_| candidate.method == "btree") {
                Some(table) => built(candidate, table, size),
                None => size,
            })
        };
        self.candidates.iter().enumerate().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::candidate::IndexKey;
    use crate::index_advisor::tables::tests::table_of;

    fn column(type_name: &str, width: f64, values: f64) -> Column {
        Column {
            type_name: type_name.into(),
            width_bytes: Some(width),
            values: Some(values),
            ..Column::default()
        }
    }

    fn size(keys: &[&str], include: &[&str], predicate: Option<&str>, hypothetical: f64) -> f64 {
        let table = table_of(
            500_000.0,
            [
                ("id", column("int4", 4.0, 500_000.0)),
                ("kind", column("int4", 4.0, 100.0)),
                ("price", column("numeric", 6.0, 100.0)),
                ("at", column("timestamptz", 8.0, 500_000.0)),
                ("mail", column("text", 23.0, 500_000.0)),
            ],
        );
        let candidate = Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: keys
                .iter()
                .map(|key| IndexKey::from(Key::Column((*key).into())))
                .collect(),
            include: include.iter().map(ToString::to_string).collect(),
            predicate: predicate.map(str::to_owned),
        };
        built(&candidate, &table, hypothetical) / 1e6
    }

    #[test]
    fn it_is_what_postgresql_builds() {
        // measured: 11.26, 3.4, 11.26, 11.26 and 20.4 MB
        assert!((11.2..11.8).contains(&size(&["id"], &[], None, 13e6)));
        assert!(
            (3.2..3.8).contains(&size(&["kind"], &[], None, 13e6)),
            "stored once"
        );
        assert!(
            (11.2..11.8).contains(&size(&["price"], &[], None, 13e6)),
            "1.0 is not 1.00"
        );
        assert!(
            (11.2..11.8).contains(&size(&["kind"], &["id"], None, 27e6)),
            "columns that are carried along differ"
        );
        assert!((20.0..21.5).contains(&size(&["mail"], &[], None, 30e6)));
        let part = size(&["id"], &[], Some("kind = 1"), 1.3e6);
        assert!((1.1..1.2).contains(&part), "a tenth of the rows: {part}");
        assert_eq!(size(&["gone"], &[], None, 13e6), 13.0, "nothing is known of it");
    }
}
