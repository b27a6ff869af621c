//! index.too_many

mod leaving;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::catalog::{Catalog, IndexFacts};
use crate::model::finding::{Claim, Impact, Severity};
use crate::model::history::index_entries;
use crate::model::observation::{DatabaseObservation, TableDelta, Unknown};
use crate::model::remedy::{Remedy, qualified, quote_literal};
use crate::model::unit::{Size, bytes_for_people, plural};
use crate::rules::whole_tables::{Whole, Wholes, tell_undecided};
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence, number, table_object};

use leaving::Leaving;

/// A table that is written to much has many indexes, or indexes that are larger than twice the table.
///
/// ## Why it is bad
/// Every row that is inserted is an entry in each index, and so is every update that is not HOT. That makes writes slower, and
/// more WAL; VACUUM reads all of the indexes, backups and replicas carry them, and what they take of memory others lack. The
/// planner looks at each of them for every statement on the table.
///
/// ## What to do
/// Look at the whole set at once: it is shown with sizes and scans. First go those that nothing uses, that are the same as
/// another one or its beginning: they are named, by what index.unused, index.duplicate and index.redundant_prefix say with
/// their default thresholds. Then those that hardly earn their price (index.rarely_used). Then see whether one index can serve
/// the statements of two.
///
/// ## When it is wrong to obey
/// When every one of them serves statements that matter, and writing is fast enough. A wide table that is asked in many ways
/// may need a dozen. Few scans are no proof of little use: one scan may be the report of the month.
///
/// Entries that are written to each index are counted: rows inserted, and updates that are not HOT. The size of a table is
/// that of its rows without TOAST. Partitions are judged together with their table; the number of indexes is then that of the
/// partition that has most. An index counts only if it was there when its window began. Of a window shorter than an hour, as
/// after a reset or in `check --wait`, no rate is told: what was counted in it must be enough for half an hour. Source:
/// PostgreSQL's chapter "Indexes", pg_stat_all_indexes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TooMany {
    /// Indexes of one table from which it is worth knowing.
    info_indexes: i64,
    /// Or how many times the size of the table its indexes together must exceed.
    info_times_size: f64,
    /// A table must be as large as this for the comparison of sizes.
    min_size: Size,
    /// Entries that writes to the table make in each index in an hour, without which nothing is said.
    min_entries_per_hour: i64,
}

impl Default for TooMany {
    fn default() -> Self {
        Self {
            info_indexes: 10,
            info_times_size: 2.0,
            min_size: Size { bytes: 10_000_000 },
            min_entries_per_hour: 1_000,
        }
    }
}

const FEW_SCANS: &str =
    "Few scans are no proof of little use: keep the definition of what you drop, and drop one at a time.";
/// Indexes that are shown.
const INDEXES_TOLD: usize = 50;

/// Entries that writes made in each index: an update that is HOT makes none.
pub(super) fn entries(delta: &TableDelta) -> i64 {
    let (inserted, updated) = (delta.inserted as f64, delta.updated as f64);
    index_entries(inserted, updated, delta.hot_updated as f64) as i64
}

/// The indexes of one table.
struct Set<'a> {
    /// Those of the table, of a partitioned one those that its partitions' belong to.
    own: Vec<&'a IndexFacts>,
    /// How many there are, of partitions the most that one has.
    count: usize,
    size_bytes: f64,
}

impl<'a> Set<'a> {
    /// Those that are meant.
    fn of(catalog: &'a Catalog, whole: &Whole<'_>, is_meant: impl Fn(&IndexFacts) -> bool + Copy) -> Self {
        let of_table = |oid: u32| {
            let all = catalog.indexes_of(oid);
            all.filter(move |facts| !facts.owned_by_extension && is_meant(facts))
        };
        let parts = whole.parts.iter().map(|part| of_table(part.facts.oid));
        Self {
            own: of_table(whole.table.oid).collect(),
            count: parts.clone().map(Iterator::count).max().unwrap_or(0),
            size_bytes: parts.flatten().map(|facts| facts.size_bytes).sum(),
        }
    }
}

/// A table that has too many.
struct Many<'a> {
    whole: Whole<'a>,
    set: Set<'a>,
    /// How many came after the window began.
    younger: usize,
}

/// Whether an index was there when the window of its table began, as far as that was seen.
fn was_there(database: &DatabaseObservation, whole: &Whole<'_>, facts: &IndexFacts) -> bool {
    let position = database.indexes.binary_search_by_key(&facts.oid, |seen| seen.oid);
    let appeared_at = position
        .ok()
        .and_then(|position| database.indexes[position].appeared_at);
    let begin = whole.window().map(|window| window.from);
    begin.zip(appeared_at).is_none_or(|(begin, at)| at <= begin)
}

impl Rule for TooMany {
    const ID: &'static str = "index.too_many";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let wholes = Wholes::watched(database)?;
        let mut found = Found::default();
        let mut many: Vec<Many<'_>> = Vec::new();
        let mut is_any_known = false;
        for whole in wholes.all() {
            is_any_known |= whole.window().is_some();
            let per_hour = whole.per_hour(entries);
            let is_written = per_hour >= self.min_entries_per_hour as f64;
            if !is_written && !whole.is_unknown() {
                continue;
            }
            let set = Set::of(&database.catalog, &whole, |_| true);
            if !self.is_too_much(&whole, &set) {
                continue;
            }
            // what was written before an index was there made no entry in it
            let written = Set::of(&database.catalog, &whole, |facts| {
                was_there(database, &whole, facts)
            });
            match whole.is_unknown() || !self.is_too_much(&whole, &written) {
                true => found.undecided.push(whole.subject()),
                false => many.push(Many {
                    younger: set.count.saturating_sub(written.count),
                    whole,
                    set,
                }),
            }
        }
        tell_undecided(&mut found, is_any_known)?;
        many.sort_by(|a, b| {
            let by_size = b.set.size_bytes.total_cmp(&a.set.size_bytes);
            by_size.then_with(|| a.whole.name().cmp(&b.whole.name()))
        });
        if many.is_empty() {
            return Ok(found);
        }
        let leaving = Leaving::of(place);
        for one in &many {
            found.claim_worst_first(
                place,
                || one.whole.subject(),
                || claim(place, (database, &leaving), one),
            );
        }
        Ok(found)
    }
}

impl TooMany {
    fn is_too_much(&self, whole: &Whole<'_>, set: &Set<'_>) -> bool {
        let is_large = whole.size_bytes() >= self.min_size.bytes as f64;
        set.count as i64 >= self.info_indexes.max(1)
            || is_large && set.size_bytes > self.info_times_size * whole.size_bytes()
    }
}

fn told(database: &DatabaseObservation, facts: &IndexFacts) -> Value {
    let position = database.indexes.binary_search_by_key(&facts.oid, |seen| seen.oid);
    let scans = position.ok().map(|position| database.indexes[position].scans);
    json!({
        "name": facts.name,
        "definition": facts.definition,
        // those of partitions are not in it
        "size_bytes": (!facts.is_partitioned).then_some(facts.size_bytes),
        "scans": scans,
        "is_unique": facts.is_unique,
        "constraint": facts.constraint,
    })
}

fn claim(place: &Place<'_>, (database, leaving): (&DatabaseObservation, &Leaving), many: &Many<'_>) -> Claim {
    let Many { whole, set, .. } = many;
    let table = whole.table;
    let mut indexes = set.own.clone();
    indexes.sort_by(|a, b| {
        b.size_bytes
            .total_cmp(&a.size_bytes)
            .then_with(|| a.name.cmp(&b.name))
    });
    let indexes: Vec<Value> = indexes
        .into_iter()
        .take(INDEXES_TOLD)
        .map(|facts| told(database, facts))
        .collect();
    let times = set.size_bytes / whole.size_bytes().max(1.0);
    let count = plural(set.count, "index", "indexes");
    let together = if set.count == 1 { "" } else { " together" };
    let guards = guards(database, many);
    Claim {
        title: format!(
            "{}.{} has {count} of {}{together}",
            table.schema,
            table.name,
            bytes_for_people(set.size_bytes)
        ),
        explanation: format!(
            "Its rows take {}, its {count} {}. Writes made {}. Look at the whole set: those that are there \
             for nothing go first, then those that hardly earn their price.",
            bytes_for_people(whole.size_bytes()),
            bytes_for_people(set.size_bytes),
            whole.pace(entries, "entries in each of them"),
        ),
        evidence: evidence([
            ("indexes_count", json!(set.count)),
            ("indexes_size_bytes", json!(set.size_bytes)),
            ("size_bytes", json!(whole.size_bytes())),
            ("times_its_size", number(times)),
            ("entries", json!(whole.sum(entries))),
            ("entries_per_hour", whole.rate(entries)),
            ("rows_inserted_per_hour", whole.rate(|delta| delta.inserted)),
            ("updates_per_hour", whole.rate(|delta| delta.updated)),
            (
                "partitions",
                json!((table.kind == 'p').then_some(whole.parts.len())),
            ),
            ("scans_since", json!(database.counters_since)),
            ("indexes", json!(indexes)),
            ("could_go", leaving.evidence(&set.own)),
        ]),
        evidence_window: whole.window(),
        evidence_sql: Some(evidence_sql(whole)),
        // its indexes are told with their bytes, each by the rule that names it: told here, too, they would count twice
        impact: Impact::default(),
        confidence: guards.confidence("counted by the server over the window"),
        remedy: Remedy {
            caveats: leaving
                .steps(&set.own)
                .into_iter()
                .chain([FEW_SCANS.to_owned()])
                .collect(),
            ..Remedy::default()
        },
        guards: guards.told(),
        ..place.claim(
            TooMany::ID,
            Severity::Info,
            whole.subject(),
            Some(table_object(table)),
        )
    }
}

/// What was checked, and what could not be.
fn guards(database: &DatabaseObservation, many: &Many<'_>) -> Guards {
    let mut guards = Guards::default();
    guards.checked("rows are written to it that each index pays for");
    many.whole.guard_window(&mut guards);
    if many.whole.table.kind == 'p' {
        guards.checked("its partitions are counted together");
    }
    let begin = many.whole.window().map(|window| window.from);
    if database.watched_since.is_none_or(|since| begin < Some(since)) {
        guards.not_checked("whether its indexes were there when those rows were written");
    } else if many.younger > 0 {
        guards.checked(format!(
            "{} of its indexes came since; without them it has too many, too",
            many.younger
        ));
    }
    guards
}

fn evidence_sql(whole: &Whole<'_>) -> String {
    let table = quote_literal(&qualified(&whole.table.schema, &whole.table.name));
    let which = match whole.table.kind {
        'p' => format!("relid IN (SELECT relid FROM pg_partition_tree({table}))"),
        _ => format!("relid = {table}::regclass"),
    };
    format!(
        "SELECT relname, indexrelname, idx_scan, pg_relation_size(indexrelid)\n  FROM pg_stat_user_indexes WHERE {which} \
         ORDER BY 4 DESC"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::catalog::{Catalog, TableFacts};
    use crate::model::finding::ConfidenceLevel;
    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, database, found, index, last_hour, now, table, tables};

    /// Tables with indexes of so many bytes, each on the table of that OID.
    fn with_indexes(facts: Vec<TableFacts>, sizes: &[(u32, f64)]) -> Observation {
        let of = |(number, (table_oid, size_bytes)): (usize, &(u32, f64))| IndexFacts {
            table_oid: *table_oid,
            size_bytes: *size_bytes,
            ..index(100 + number as u32, &format!("i{number}"))
        };
        let indexes: Vec<IndexFacts> = sizes.iter().enumerate().map(of).collect();
        let mut observed = tables(facts.clone());
        observed.databases[0].catalog = Arc::new(Catalog::new(facts.into(), indexes.into()));
        observed
    }

    /// `public.t` of so many bytes, into which rows were inserted in the last hour.
    fn observed(size_bytes: f64, inserted: i64, sizes: &[f64]) -> Observation {
        let sizes: Vec<(u32, f64)> = sizes.iter().map(|size| (1, *size)).collect();
        let mut observed = with_indexes(vec![table(1, "t", 1e5, size_bytes)], &sizes);
        observed.databases[0].table_activity = Ok(vec![last_hour(1, |delta| delta.inserted = inserted)]);
        observed
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let judged = |size_bytes: f64, inserted: i64, sizes: &[f64]| {
            claims::<TooMany>(&observed(size_bytes, inserted, sizes))
                .unwrap()
                .len()
        };
        assert_eq!(judged(1e9, 1_000, &[1.0; 10]), 1);
        assert_eq!(judged(1e9, 1_000, &[1.0; 9]), 0);
        assert_eq!(judged(1e9, 999, &[1.0; 10]), 0, "hardly written to");
        assert_eq!(judged(1e7, 1_000, &[1.5e7, 0.6e7]), 1);
        assert_eq!(judged(1e7, 1_000, &[1.5e7, 0.5e7]), 0);
        assert_eq!(judged(0.9e7, 1_000, &[1.5e7, 0.6e7]), 0, "a small table");
    }

    #[test]
    fn those_that_may_go_are_named() {
        let told = |alike: &[usize]| {
            let mut observed = observed(1e9, 1_000, &[1.0; 10]);
            let before = observed.databases[0].catalog.clone();
            let of = |(number, facts): (usize, &IndexFacts)| {
                let column = match alike.contains(&number) {
                    true => "same".to_owned(),
                    false => format!("c{number}"),
                };
                IndexFacts {
                    shape: column.clone().into(),
                    definition: Some(
                        format!("CREATE INDEX i{number} ON public.t USING btree ({column})").into(),
                    ),
                    ..facts.clone()
                }
            };
            let indexes: Vec<IndexFacts> = before.indexes.values().enumerate().map(of).collect();
            observed.databases[0].catalog = Arc::new(Catalog::new(before.tables.clone(), indexes.into()));
            claims::<TooMany>(&observed).unwrap().remove(0)
        };
        let two = told(&[3, 4]);
        let named = two.evidence["could_go"].as_array().unwrap().clone();
        assert_eq!(named.len(), 1, "{named:?}");
        assert_eq!(named[0]["rule"], "index.duplicate");
        let name = named[0]["name"].as_str().unwrap();
        assert!(["i3", "i4"].contains(&name), "{name}");
        assert!(
            two.remedy.caveats[0].contains(&format!("{name} (index.duplicate)")),
            "{:?}",
            two.remedy.caveats
        );
        assert!(two.remedy.apply_sql.is_empty());
        let none = told(&[]);
        assert_eq!(none.evidence["could_go"], json!([]));
        assert!(none.remedy.caveats[0].starts_with("No other rule names one"));
    }

    #[test]
    fn some_seconds_are_no_rate_of_an_hour() {
        let judged = |inserted: i64| {
            let mut observed = observed(1e9, inserted, &[1.0; 10]);
            let activity = observed.databases[0].table_activity.as_mut().unwrap();
            let window = &mut activity[0].over.as_mut().unwrap().window;
            window.from = window.to - chrono::TimeDelta::seconds(12);
            claims::<TooMany>(&observed).unwrap()
        };
        assert_eq!(judged(499).len(), 0, "too few for half an hour");
        let told = judged(500).remove(0);
        assert_eq!(told.confidence.level, ConfidenceLevel::Estimated);
        let words = "500 entries in each of them in the last 12 s";
        assert!(told.explanation.contains(words), "{}", told.explanation);
        assert!(!told.evidence.contains_key("entries_per_hour"));
        let hour = claims::<TooMany>(&observed(1e9, 1_000, &[1.0; 10])).unwrap();
        assert_eq!(hour[0].confidence.level, ConfidenceLevel::Measured);
        assert!(hour[0].evidence.contains_key("entries_per_hour"));
    }

    #[test]
    fn what_was_loaded_once_is_told_as_what_it_was() {
        // of so many rows in some minutes, where the indexes were watched since so many minutes ago
        let told = |minutes: i64, watched: Option<i64>| {
            let ago = |minutes: i64| now() - chrono::TimeDelta::minutes(minutes);
            let mut observed = observed(1e9, 20_000, &[1.0; 10]);
            let one = &mut observed.databases[0];
            one.watched_since = watched.map(ago);
            one.table_activity.as_mut().unwrap()[0]
                .over
                .as_mut()
                .unwrap()
                .window
                .from = ago(minutes);
            claims::<TooMany>(&observed).unwrap().remove(0)
        };
        let short = told(31, Some(31));
        let words = "Writes made 20\u{202f}000 entries in each of them in the last 31 min";
        assert!(short.explanation.contains(words), "{}", short.explanation);
        assert_eq!(short.confidence.level, ConfidenceLevel::Estimated);
        assert!(!short.evidence.contains_key("entries_per_hour"));
        let level = |minutes, watched| told(minutes, watched).confidence.level;
        assert_eq!(level(60, Some(60)), ConfidenceLevel::Measured);
        assert_eq!(level(60, Some(59)), ConfidenceLevel::Estimated, "totals");
        assert_eq!(level(60, None), ConfidenceLevel::Estimated, "the first look");
    }

    #[test]
    fn what_was_written_before_an_index_was_there_does_not_count() {
        // of eleven indexes so many came since, in the last minutes
        let judged = |younger: usize, minutes: i64| {
            let mut observed = observed(1e9, 20_000, &[1.0; 11]);
            let facts: Vec<IndexFacts> = observed.databases[0].catalog.indexes.values().cloned().collect();
            let mut seen = database(facts).databases.remove(0).indexes;
            for index in seen.iter_mut().take(younger) {
                index.appeared_at = Some(now() - chrono::TimeDelta::minutes(minutes));
            }
            observed.databases[0].indexes = seen;
            let found = found::<TooMany>(&observed).unwrap();
            (found.claims.len(), found.undecided.len())
        };
        assert_eq!(judged(11, 30), (0, 1), "built after a load");
        assert_eq!(judged(2, 30), (0, 1), "nine were there");
        assert_eq!(judged(1, 30), (1, 0), "ten were");
        assert_eq!(judged(11, 60), (1, 0), "there when the window began");
    }

    #[test]
    fn updates_that_are_hot_and_deletes_write_to_no_index() {
        let judged = |updated: i64, hot_updated: i64, deleted: i64| {
            let mut observed = observed(1e9, 0, &[1.0; 10]);
            observed.databases[0].table_activity = Ok(vec![last_hour(1, |delta| {
                (delta.updated, delta.hot_updated, delta.deleted) = (updated, hot_updated, deleted);
            })]);
            claims::<TooMany>(&observed).unwrap().len()
        };
        assert_eq!(judged(2_000, 1_000, 0), 1);
        assert_eq!(judged(2_000, 1_001, 0), 0);
        assert_eq!(judged(0, 0, 1_000_000), 0);
    }

    #[test]
    fn partitions_are_one_table() {
        let mut parts = vec![
            table(1, "t", -1.0, 0.0),
            table(2, "t_1", 1e5, 1e7),
            table(3, "t_2", 1e5, 1e7),
        ];
        parts[0].kind = 'p';
        (parts[1].partition_of, parts[2].partition_of) = (Some(1), Some(1));
        let mut observed = with_indexes(parts, &[(1, 0.0), (2, 3e7), (3, 2e7), (3, 1.0)]);
        observed.databases[0].table_activity = Ok(vec![
            last_hour(2, |delta| delta.inserted = 600),
            last_hour(3, |delta| delta.inserted = 600),
        ]);
        let claims = claims::<TooMany>(&observed).unwrap();
        assert_eq!(claims.len(), 1);
        assert_eq!(claims[0].subject, ["public", "t"]);
        assert_eq!(claims[0].evidence["indexes_count"], json!(2));
        assert_eq!(claims[0].evidence["indexes_size_bytes"], json!(5e7 + 1.0));
        assert_eq!(
            claims[0].impact.bytes, None,
            "the bytes of an index that may go count once"
        );
    }

    #[test]
    fn only_what_might_be_too_much_waits_for_a_window() {
        let judged = |sizes: &[f64]| {
            let mut observed = observed(1e9, 0, sizes);
            observed.databases[0].table_activity.as_mut().unwrap()[0].over = None;
            found::<TooMany>(&observed)
        };
        assert!(judged(&[1.0; 10]).unwrap_err().reason.contains("an hour apart"));
        assert!(judged(&[1.0; 9]).unwrap().undecided.is_empty());
    }
}
