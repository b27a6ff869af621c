//! How large a b-tree will be once it is built. HypoPG adds a fifth to every index and knows nothing of deduplication (since
//! PostgreSQL 13 equal keys are stored once, with a list of their rows), so that what it says is up to four times too much.

use super::candidate::Candidate;
use super::clauses::Key;
use super::held::{Held, with_values};
use super::ready::Ready;
use super::selection::Problem;
use super::tables::{Column, Table};

/// A page without its header and what a b-tree keeps at its end; of that a tenth of the page stays free.
pub(super) const PAGE: f64 = 8192.0;
const USABLE: f64 = PAGE - 24.0 - 16.0;
const KEPT_FREE: f64 = PAGE / 10.0;
/// Every tuple has a header, which is longer where a value is lacking, and a pointer to it on the page.
const HEADER: f64 = 8.0;
const HEADER_WITH_NULLS: f64 = 16.0;
const POINTER: f64 = 4.0;
/// What a row takes in the list of a key, and how long a list gets while an index is built.
const ROW: f64 = 6.0;
const LIST: f64 = 812.0;
/// ANALYZE counts too few values where some are far more frequent than others, and each value has a tuple of its own.
const VALUES: f64 = 2.0;
/// For what is not reckoned with: columns that vary in length.
const MARGIN: f64 = 1.03;
/// In more places than so many no lacking value is reckoned with.
const NULLABLE: usize = 8;
/// HypoPG's own reckoning: pages filled to nine tenths, and a fifth on top.
const HYPOPG_FACTOR: f64 = 1.3;

fn moved(bytes: f64, multiple: f64) -> f64 {
    (bytes / multiple).ceil() * multiple
}

/// What an index holds of each row.
struct Row {
    held: Vec<Held>,
    /// Whether equal keys are stored once: not so where columns are carried along, which differ.
    are_stored_once: bool,
}

/// Rows that lack a value in the same places: those take no bytes there, and are equal as far as these go.
struct Alike {
    /// The part of all rows, above 0 and up to 1.
    share: f64,
    /// Bytes of a row with its header.
    tuple: f64,
    /// How many different keys there are at most, if equal ones are stored once.
    keys: Option<f64>,
}

impl Row {
    fn of(candidate: &Candidate, table: &Table) -> Option<Self> {
        let never_null = candidate
            .predicate
            .as_deref()
            .map(with_values)
            .unwrap_or_default();
        let keys = candidate.keys.iter();
        let keys = keys.map(|key| Held::of(&key.key, table, &never_null));
        let included = candidate.include.iter();
        let included = included.map(|name| Held::of_column(name, table, &never_null));
        let held: Vec<Held> = keys.chain(included).collect::<Option<_>>()?;
        let are_stored_once = candidate.include.is_empty() && held.iter().all(|one| one.is_stored_once);
        Some(Self {
            held,
            are_stored_once,
        })
    }

    /// Bytes of a row as HypoPG reckons, with its headers.
    fn hypothetical(&self) -> f64 {
        let widths: f64 = self.held.iter().map(|one| one.hypothetical_bytes).sum();
        let count = self.held.len() as f64;
        widths + HEADER * count + moved(POINTER * count, 8.0)
    }

    /// How many of them there are: of a partial index HypoPG alone knows that.
    fn count(&self, candidate: &Candidate, table: &Table, hypothetical: f64) -> f64 {
        match candidate.predicate {
            None => table.rows,
            Some(_) => hypothetical / PAGE * USABLE / (self.hypothetical() * HYPOPG_FACTOR),
        }
    }

    /// All rows by where they lack a value; each place for itself, as if one told nothing of another.
    fn alike(&self) -> Vec<Alike> {
        let places = self.held.iter().enumerate();
        let may_lack = places.filter(|(_, one)| one.null_ratio > 0.0);
        let may_lack: Vec<usize> = may_lack.map(|(place, _)| place).take(NULLABLE).collect();
        let patterns = (0..1_usize << may_lack.len()).map(|pattern| self.alike_in(&may_lack, pattern));
        patterns.filter(|alike| alike.share > 0.0).collect()
    }

    /// Those that lack a value where a bit of the pattern is set, of the places that may lack one.
    fn alike_in(&self, may_lack: &[usize], pattern: usize) -> Alike {
        let (mut share, mut bytes, mut keys) = (1.0, 0.0, Some(1.0_f64));
        for (place, one) in self.held.iter().enumerate() {
            if let Some(bit) = may_lack.iter().position(|may_lack| *may_lack == place) {
                let lacks = pattern >> bit & 1 == 1;
                share *= if lacks {
                    one.null_ratio
                } else {
                    1.0 - one.null_ratio
                };
                if lacks {
                    continue;
                }
            }
            bytes = moved(bytes, one.multiple) + one.width_bytes;
            keys = keys.zip(one.values).map(|(keys, values)| keys * values);
        }
        let header = if pattern == 0 { HEADER } else { HEADER_WITH_NULLS };
        Alike {
            share,
            tuple: moved(header + bytes, 8.0),
            keys: keys.filter(|_| self.are_stored_once),
        }
    }
}

impl Alike {
    /// Bytes of so many of these rows on the lowest pages, in an index of so many parts, each of which has its own.
    fn leaves(&self, rows: f64, parts: f64) -> f64 {
        let each = rows * (POINTER + self.tuple);
        let Some(keys) = self.keys else {
            return each;
        };
        let keys = (keys * VALUES * parts).clamp(1.0, rows.max(1.0));
        let lists = keys * (rows / keys / ((LIST - self.tuple) / ROW).max(1.0)).ceil();
        each.min(lists * (POINTER + self.tuple + POINTER) + rows * ROW)
    }
}

/// How many rows a b-tree holds that takes so many bytes to HypoPG; `None` where statistics tell too little.
pub(super) fn rows_held(candidate: &Candidate, table: &Table, hypothetical: f64) -> Option<f64> {
    Row::of(candidate, table).map(|row| row.count(candidate, table, hypothetical))
}

/// Bytes of a b-tree by what HypoPG says of it; that itself where statistics tell too little.
pub(super) fn built(candidate: &Candidate, table: &Table, hypothetical: f64) -> f64 {
    let Some(row) = Row::of(candidate, table) else {
        return hypothetical;
    };
    let rows = row.count(candidate, table, hypothetical);
    let parts = table.partitions.iter().filter(|part| !part.is_partitioned);
    let parts = parts.count().max(1) as f64;
    let (mut leaves, mut tuple) = (0.0, 0.0);
    for alike in row.alike() {
        leaves += alike.leaves(rows * alike.share, parts);
        tuple += alike.share * alike.tuple;
    }
    let pages = leaves / (USABLE - KEPT_FREE - tuple).max(tuple);
    let above = pages * (POINTER + tuple) / USABLE;
    ((pages + above) * PAGE * MARGIN + 2.0 * PAGE).min(hypothetical.max(2.0 * PAGE))
}

/// What a range of so many pages is summed up in takes in a BRIN index, beside its two values.
const BLOCK_RANGE_PAGES: f64 = 128.0;
const BLOCK_RANGE_BYTES: f64 = 24.0;

/// Bytes of an index on all rows by what statistics tell alone, where no HypoPG is there to say more: of a b-tree, in which an expression
/// of no plain type is taken to be as wide as what it is made of, or a BRIN index. `None` where statistics tell too little.
pub(super) fn by_statistics(candidate: &Candidate, table: &Table) -> Option<f64> {
    let mut table = table.clone();
    let mut whole = Candidate {
        predicate: None,
        ..candidate.clone()
    };
    let mut width_bytes = 0.0;
    for key in &mut whole.keys {
        let width = table.width_of(&key.key)?;
        width_bytes += width;
        if let Key::Expression(text) = key.key.clone()
            && Held::of(&key.key, &table, &[]).is_none()
        {
            let column = Column {
                width_bytes: Some(width),
                ..Column::default()
            };
            table.columns.insert(text.clone(), column);
            key.key = Key::Column(text);
        }
    }
    match whole.method {
        "btree" => Some(built(&whole, &table, f64::INFINITY)).filter(|bytes| bytes.is_finite()),
        "brin" => {
            let range_bytes = BLOCK_RANGE_BYTES + 2.0 * width_bytes;
            Some(3.0 * PAGE + table.pages / BLOCK_RANGE_PAGES * range_bytes)
        }
        _ => None,
    }
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

    #[test]
    fn rows_without_a_value_are_alike() {
        let sparse = |type_name: &str, null_ratio: f64, values: f64| Column {
            null_ratio: Some(null_ratio),
            ..column(type_name, 8.0, values)
        };
        let table = table_of(
            300_000.0,
            [
                ("deleted_at", sparse("timestamptz", 0.97, 9_000.0)),
                ("made_at", sparse("timestamptz", 0.0, 300_000.0)),
                ("clinician_id", column("int4", 4.0, 200.0)),
                ("slot", column("tstzrange", 22.0, 300_000.0)),
                ("code", column("bpchar", 5.0, 20.0)),
            ],
        );
        let size = |keys: &[Key], include: &[&str], predicate: Option<&str>, hypothetical: f64| {
            let candidate = Candidate {
                schema: "s".into(),
                table: "t".into(),
                method: "btree",
                keys: keys.iter().cloned().map(IndexKey::from).collect(),
                include: include.iter().map(ToString::to_string).collect(),
                predicate: predicate.map(str::to_owned),
            };
            built(&candidate, &table, hypothetical) / 1e6
        };
        let column = |name: &str| Key::Column(name.into());
        let expression = |text: &str| Key::Expression(text.into());
        let both = size(&[column("deleted_at"), column("clinician_id")], &[], None, 12e6);
        assert!((2.2..2.8).contains(&both), "one list for each clinician: {both}");
        let alone = size(&[column("deleted_at")], &[], None, 8.5e6);
        assert!((2.0..2.5).contains(&alone), "nearly all are one key: {alone}");
        let carried = size(&[column("deleted_at")], &["clinician_id"], None, 15e6);
        assert!(
            (8.0..10.5).contains(&carried),
            "what is carried along differs: {carried}"
        );
        let full = size(&[column("made_at"), column("clinician_id")], &[], None, 14e6);
        assert!((9.0..10.5).contains(&full), "no row lacks a value: {full}");
        // of a partial index with no others, all rows have one
        let part = size(
            &[column("deleted_at")],
            &[],
            Some("(deleted_at IS NOT NULL)"),
            0.31e6,
        );
        assert!((0.2..0.31).contains(&part), "{part}");
        let range = size(
            &[column("deleted_at"), expression("lower(slot)")],
            &[],
            None,
            29e6,
        );
        assert!((8.5..10.5).contains(&range), "a time, no range: {range}");
        let cast = size(&[expression("(code)::text")], &[], None, 19e6);
        assert!((2.0..2.5).contains(&cast), "twenty keys: {cast}");
        let other = size(&[expression("own(code)")], &[], None, 19e6);
        assert_eq!(other, 19.0, "nothing is known of it");
    }

    #[test]
    fn statistics_alone_tell_a_size() {
        let table = table_of(
            500_000.0,
            [
                ("id", column("int4", 4.0, 500_000.0)),
                ("mail", column("text", 23.0, 500_000.0)),
                ("unread", Column::default()),
            ],
        );
        let size = |key: Key, method: &'static str, predicate: Option<&str>| {
            let candidate = Candidate {
                schema: "s".into(),
                table: "t".into(),
                method,
                keys: vec![IndexKey::from(key)],
                include: Vec::new(),
                predicate: predicate.map(str::to_owned),
            };
            by_statistics(&candidate, &table).map(|bytes| bytes / 1e6)
        };
        let id = || Key::Column("id".into());
        // measured: 11.26 and 20.4 MB
        assert!((11.2..11.8).contains(&size(id(), "btree", None).unwrap()));
        let lower = size(Key::Expression("lower(mail)".into()), "btree", None).unwrap();
        assert!((20.0..21.5).contains(&lower), "{lower}");
        let part = size(id(), "btree", Some("id > 5"));
        assert_eq!(part, size(id(), "btree", None), "at most that of all rows");
        assert_eq!(size(Key::Column("unread".into()), "btree", None), None);
        assert_eq!(size(Key::Column("gone".into()), "btree", None), None);
        assert!(size(id(), "brin", None).unwrap() < 0.1);
        assert_eq!(size(id(), "gin", None), None);
    }
}
