//! index.fk_missing

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::missing::{NEARLY, Worth, worth_on};
use crate::model::advice::Rehearsals;
use crate::model::catalog::{IndexFacts, TableFacts};
use crate::model::finding::{Claim, Object, ObjectKind, Severity};
use crate::model::observation::{DatabaseObservation, Unknown};
use crate::model::remedy::{self, Remedy, Statement, qualified, quote_identifier, quote_literal};
use crate::model::schema::ForeignKey;
use crate::model::unit::{Size, count_for_people};
use crate::rules::whole_tables::{Part, Whole, Wholes};
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence};
use crate::sql::cut;
use crate::sql::index_keys::{IndexKeys, Key};
use crate::sql::remembered::index_keys;

/// A foreign key whose columns no index begins with.
///
/// ## Why it is bad
/// For each row that is deleted from the table that it points at, and for each whose key is changed, PostgreSQL looks for rows
/// that point at it. Without an index it reads the whole table for each of them, with the row locked meanwhile: a DELETE of a
/// thousand rows reads it a thousand times. Joins along the foreign key, which are the commonest, read it whole, too.
///
/// ## What to do
/// Build an index on the columns of the foreign key. CREATE INDEX CONCURRENTLY does not hold up writes.
///
/// ## When it is wrong to obey
/// When rows of the other table are never deleted, their keys never change, and nobody asks for the rows of one of them: then
/// the index would only cost writes. A small table is left out, for reading it whole is as fast.
///
/// An index counts that is valid, is a btree or hash index over all rows, and has the columns in front, in any order. Of a
/// partitioned table it counts, too, if each partition has one. Deletes are counted by the server; changes of keys cannot be
/// told from other updates. Foreign keys of tables of extensions are left out. Where the planner is asked (`planner_dsn`), an
/// index on these columns that index.missing advises is told by that rule alone, whether or not that is switched on: one index
/// mends both. Where most of the time goes into statements that could not be planned, index.missing says nothing, and foreign
/// keys are judged without it. Source: PostgreSQL's chapter "Constraints", section "Foreign Keys".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FkMissing {
    /// Smaller tables are left out: rows of the table that has the foreign key.
    min_rows: i64,
    /// It must be larger than this, too: eight pages are read as fast as an index.
    min_size: Size,
    /// Rows of the table that has the foreign key from which it is a warning.
    warning_rows: i64,
    /// Rows deleted in the window from the table that it points at from which it is a warning.
    warning_deletes: i64,
}

impl Default for FkMissing {
    fn default() -> Self {
        Self {
            min_rows: 1_000,
            min_size: Size { bytes: 8 * 8_192 },
            warning_rows: 1_000_000,
            warning_deletes: 1,
        }
    }
}

/// PostgreSQL keeps so many bytes of a name.
const NAME_BYTES: usize = 63;
/// A recipe for more partitions is longer than anybody reads.
const PARTITIONS: usize = 50;
/// Bytes of an entry beside its keys, and what is left free in each page of a new index.
const ENTRY_BYTES: f64 = 12.0;
const FREE: f64 = 0.1;

const ROWS_UNKNOWN: &str = "how many rows some tables have is not known: ANALYZE counts them";
const TO_BE_ASKED: &str = "the planner is still to be asked which indexes statements lack: what it advises is told by \
                           index.missing alone";
const BEING_INDEXED: &str = "an index is being built on the tables of some foreign keys just now";

impl Rule for FkMissing {
    const ID: &'static str = "index.fk_missing";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let keys = &database.schema()?.facts.foreign_keys;
        let supported: HashSet<u32> = database
            .catalog
            .indexes
            .values()
            .flat_map(|facts| &facts.foreign_keys)
            .copied()
            .collect();
        let mut found = Found::default();
        let bare: Vec<&ForeignKey> = keys.iter().filter(|key| !supported.contains(&key.oid)).collect();
        if bare.is_empty() {
            return Ok(found);
        }
        let (wholes, known) = (Wholes::of(database), Known::of(database));
        let mut missing: Vec<(Severity, &ForeignKey, Whole<'_>)> = Vec::new();
        for key in bare {
            let table = database.catalog.tables.get(key.table_oid);
            let is_judged = |table: &&TableFacts| !table.owned_by_extension && table.partition_of.is_none();
            let Some(table) = table.filter(is_judged) else {
                continue;
            };
            let whole = wholes.get(table);
            if whole.size_bytes() <= self.min_size.bytes as f64 {
                continue;
            }
            let untold = match (whole.rows() == 0.0, known.is_being_indexed(&whole)) {
                (true, _) => ROWS_UNKNOWN,
                (_, true) => BEING_INDEXED,
                _ if whole.rows() < self.min_rows as f64 => continue,
                _ if known.are_parts_indexed(key, &whole) || known.is_over_all_that_refer(key) => continue,
                _ => match known.worth_to_statements(key, table) {
                    // of one look alone nothing more comes
                    None if !place.observation.single_look => TO_BE_ASKED,
                    Some(Worth::Nearly) => NEARLY,
                    Some(Worth::Told) => continue,
                    None | Some(Worth::Nothing) => {
                        let parent = database.catalog.tables.get(key.referenced_oid);
                        let deleted = parent.and_then(|table| deleted(&wholes.get(table)));
                        missing.push((self.severity(&whole, deleted), key, whole));
                        continue;
                    }
                },
            };
            found.undecided.push(subject(key, table));
            found.untold = Some(untold.to_owned());
        }
        missing.sort_by(|(a_severity, a, one), (b_severity, b, other)| {
            let by_rows = other.rows().total_cmp(&one.rows());
            let by_severity = b_severity.cmp(a_severity).then(by_rows);
            by_severity.then_with(|| (one.name(), &a.name).cmp(&(other.name(), &b.name)))
        });
        for (severity, key, whole) in &missing {
            let parent = database.catalog.tables.get(key.referenced_oid);
            let parent = parent.map(|table| wholes.get(table));
            found.claim_worst_first(
                place,
                || subject(key, whole.table),
                || claim(place, &known, *severity, key, (whole, parent.as_ref())),
            );
        }
        Ok(found)
    }
}

fn subject(key: &ForeignKey, table: &TableFacts) -> Vec<String> {
    vec![table.schema.clone(), table.name.clone(), key.name.clone()]
}

/// What is known of the indexes of a database.
struct Known<'a> {
    database: &'a DatabaseObservation,
    /// Schemas and names that an index cannot have any more.
    taken: HashSet<(&'a str, &'a str)>,
    /// Partitioned tables of which some partitions have partitions themselves.
    with_levels: HashSet<u32>,
}

impl<'a> Known<'a> {
    fn of(database: &'a DatabaseObservation) -> Self {
        let tables = database.catalog.tables.values();
        let indexes = database.catalog.indexes.values();
        let between = tables.clone().filter(|facts| facts.kind == 'p');
        let of_tables = tables.map(|facts| (facts.schema.as_str(), facts.name.as_str()));
        let of_indexes = indexes.map(|facts| (facts.schema.as_str(), facts.name.as_str()));
        Self {
            database,
            taken: of_tables.chain(of_indexes).collect(),
            with_levels: between.filter_map(|facts| facts.partition_of).collect(),
        }
    }

    fn indexes(&self, table_oid: u32) -> impl Iterator<Item = &'a IndexFacts> {
        let all = self.database.catalog.indexes_of(table_oid);
        all.filter(|facts| !facts.owned_by_extension)
    }

    /// Whether an index may come to the table or one of its partitions just now.
    fn is_being_indexed(&self, whole: &Whole<'_>) -> bool {
        let parts = whole.parts.iter().map(|part| part.facts.oid);
        let mut indexes = std::iter::once(whole.table.oid)
            .chain(parts)
            .flat_map(|oid| self.indexes(oid));
        indexes.any(|facts| !facts.is_valid && facts.may_be_in_progress)
    }

    /// What index.missing makes of an index on the columns of a key, as the planner said last; none while it is still to be
    /// asked. What was said last counts, so that a finding does not come and go with each run that fails.
    fn worth_to_statements(&self, key: &ForeignKey, table: &TableFacts) -> Option<Worth> {
        match &self.database.rehearsals {
            _ if self.database.missing_indexes_untold.contains(&table.oid) => Some(Worth::Nothing),
            Rehearsals::Known(advised) => worth_on(advised, table, &key.columns),
            Rehearsals::Coming => None,
            Rehearsals::NotTried => Some(Worth::Nothing),
        }
    }

    /// Whether an index holds exactly the rows whose key is there: what looks a key up asks for no others.
    fn is_over_all_that_refer(&self, key: &ForeignKey) -> bool {
        let refers = |facts: &IndexFacts| {
            let keys = facts.definition.as_deref().and_then(index_keys);
            keys.is_some_and(|keys| {
                let first = keys.keys.iter().take(key.columns.len());
                let names: Vec<&str> = first.map(|one| one.text.as_str()).collect();
                let columns: Vec<String> = key
                    .columns
                    .iter()
                    .map(|column| quote_identifier(column))
                    .collect();
                let is_there = |part: &str| {
                    let part = part.trim_matches(|c| c == '(' || c == ')' || c == ' ');
                    columns
                        .iter()
                        .any(|column| part == format!("{column} IS NOT NULL"))
                };
                names.len() == columns.len()
                    && columns.iter().all(|column| names.contains(&column.as_str()))
                    && keys
                        .predicate
                        .as_deref()
                        .is_some_and(|predicate| predicate.split(" AND ").all(is_there))
            })
        };
        let in_part = |facts: &&IndexFacts| facts.is_valid && facts.foreign_keys_in_part.contains(&key.oid);
        self.indexes(key.table_oid)
            .filter(|facts| in_part(facts))
            .any(refers)
    }

    /// Whether each partition has an index of its own that serves: what is looked up is looked up in all of them.
    fn are_parts_indexed(&self, key: &ForeignKey, whole: &Whole<'_>) -> bool {
        // one that supports one of the partition's own keys, which are those of the whole: this one
        let serves = |facts: &IndexFacts| !facts.foreign_keys.is_empty() && begins_with(facts, &key.columns);
        let is_indexed = |part: &Part<'_>| self.indexes(part.facts.oid).any(serves);
        whole.table.kind == 'p' && !whole.parts.is_empty() && whole.parts.iter().all(is_indexed)
    }

    /// Whether some of its partitions have partitions themselves.
    fn has_levels(&self, whole: &Whole<'_>) -> bool {
        self.with_levels.contains(&whole.table.oid)
    }

    /// The index of a partition that is equal to one on these columns, so that it can become a part of that.
    fn equal(&self, table_oid: u32, columns: &[String]) -> Option<&'a IndexFacts> {
        let key = |column: &String| Key {
            text: quote_identifier(column),
            collation: None,
            operator_class: None,
            descending: false,
            nulls_first: false,
        };
        let wanted = IndexKeys {
            method: "btree".to_owned(),
            keys: columns.iter().map(key).collect(),
            include: Vec::new(),
            predicate: None,
            unique: false,
            nulls_not_distinct: false,
        };
        let is_equal = |facts: &&IndexFacts| {
            facts.is_valid
                && !facts.is_partition
                && facts.definition.as_deref().and_then(index_keys).as_deref() == Some(&wanted)
        };
        self.indexes(table_oid).find(is_equal)
    }

    /// The indexes that begin with some columns of a key, or hold those of some rows; none if there are none.
    fn in_part(&self, key: &ForeignKey) -> Option<Vec<&'a str>> {
        let indexes = self.indexes(key.table_oid);
        let names: Vec<&str> = indexes
            .filter(|facts| facts.foreign_keys_in_part.contains(&key.oid))
            .map(|facts| facts.name.as_str())
            .collect();
        (!names.is_empty()).then_some(names)
    }

    /// The name that an index on these columns should have, with a number behind it if somebody else has that.
    fn free_name(&self, table: &TableFacts, columns: &[String]) -> String {
        let stem = format!("{}_{}", table.name, columns.join("_"));
        let numbered = |number: String| {
            let room = NAME_BYTES - "_idx".len() - number.len();
            format!("{}_idx{number}", cut(&stem, room))
        };
        let numbers = std::iter::once(String::new()).chain((2..1_000).map(|number: u32| number.to_string()));
        let is_free = |name: &String| !self.taken.contains(&(table.schema.as_str(), name.as_str()));
        let free = numbers.map(numbered).find(is_free);
        free.unwrap_or_else(|| numbered("1000".to_owned()))
    }
}

/// Whether the first keys of an index are these columns, in any order.
fn begins_with(facts: &IndexFacts, columns: &[String]) -> bool {
    let Some(index) = facts.definition.as_deref().and_then(index_keys) else {
        return false;
    };
    let first: HashSet<&str> = index
        .keys
        .iter()
        .take(columns.len())
        .map(|key| key.text.as_str())
        .collect();
    columns
        .iter()
        .all(|column| first.contains(quote_identifier(column).as_str()))
}

/// What becomes of a row that points at one that is deleted.
fn on_delete(key: &ForeignKey) -> &'static str {
    match key.on_delete {
        'c' => "CASCADE",
        'n' => "SET NULL",
        'd' => "SET DEFAULT",
        'r' => "RESTRICT",
        _ => "NO ACTION",
    }
}

/// Rows that were deleted from a table while it was watched.
fn deleted(parent: &Whole<'_>) -> Option<i64> {
    parent.window()?;
    Some(parent.sum(|delta| delta.deleted))
}

impl FkMissing {
    fn severity(&self, whole: &Whole<'_>, deleted: Option<i64>) -> Severity {
        let is_large = whole.rows() >= self.warning_rows as f64;
        let is_deleted = deleted.is_some_and(|deleted| deleted > 0 && deleted >= self.warning_deletes);
        match is_large || is_deleted {
            true => Severity::Warning,
            false => Severity::Info,
        }
    }
}

fn claim(
    place: &Place<'_>,
    known: &Known<'_>,
    severity: Severity,
    key: &ForeignKey,
    (whole, parent): (&Whole<'_>, Option<&Whole<'_>>),
) -> Claim {
    let table = whole.table;
    let window = parent.and_then(Whole::window);
    let deleted = parent.and_then(deleted);
    let mut guards = Guards::default();
    guards.checked("no valid index over all rows begins with its columns, in any order");
    guards.checked("the table is not small");
    match deleted {
        Some(_) => guards.checked("deletes from the table that it points at were counted"),
        None => guards.not_checked("whether rows are deleted from the table that it points at"),
    }
    let points_at = parent.map_or_else(|| "another table".to_owned(), |parent| parent.subject().join("."));
    let object = Object {
        kind: ObjectKind::Constraint,
        schema: Some(table.schema.clone()),
        name: key.name.clone(),
        table: Some(table.name.clone()),
    };
    Claim {
        title: format!(
            "{}.{}: the foreign key {} has no index",
            table.schema, table.name, key.name
        ),
        explanation: explanation(key, whole, &points_at, deleted),
        evidence: evidence([
            ("columns", json!(key.columns)),
            ("points_at", json!(points_at)),
            ("referenced_columns", json!(key.referenced_columns)),
            ("on_delete", json!(on_delete(key))),
            ("rows", json!(whole.rows() as i64)),
            ("size_bytes", json!(whole.size_bytes())),
            ("referenced_rows_deleted", json!(deleted)),
            ("indexes_in_part", json!(known.in_part(key))),
        ]),
        evidence_window: window,
        evidence_sql: Some(format!(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint\n  WHERE conrelid = {}::regclass AND \
                 conname = {}",
            quote_literal(&qualified(&table.schema, &table.name)),
            quote_literal(&key.name)
        )),
        confidence: guards.confidence("read from the catalogs"),
        remedy: remedy(known, key, whole),
        guards: guards.told(),
        ..place.claim(FkMissing::ID, severity, subject(key, table), Some(object))
    }
}

fn explanation(key: &ForeignKey, whole: &Whole<'_>, points_at: &str, deleted: Option<i64>) -> String {
    let happened = match deleted {
        Some(0) => "None was deleted while that was watched.".to_owned(),
        Some(deleted) => format!(
            "{} were deleted while that was watched.",
            count_for_people(deleted as f64)
        ),
        None => "Whether any is deleted is not known.".to_owned(),
    };
    let worse = match key.on_delete {
        'c' | 'n' | 'd' => format!(" ON DELETE {} then writes to those rows, too.", on_delete(key)),
        _ => String::new(),
    };
    format!(
        "No index begins with its columns ({}). For each row that is deleted from {points_at}, or whose key changes, all {} \
         rows of {}.{} are read to find those that point at it. {happened}{worse}",
        key.columns.join(", "),
        count_for_people(whole.rows()),
        whole.table.schema,
        whole.table.name,
    )
}

fn create(concurrently: bool, only: bool, name: &str, table: &TableFacts, columns: &[String]) -> String {
    Statement::CreateIndex {
        concurrently,
        only,
        name: Some(name.to_owned()),
        schema: table.schema.clone(),
        table: table.name.clone(),
        method: "btree",
        keys: columns.iter().map(|column| quote_identifier(column)).collect(),
        include: Vec::new(),
        predicate: None,
    }
    .sql()
}

/// Bytes that a value takes in an index, as far as its type tells.
fn width(type_name: &str) -> f64 {
    match type_name {
        "boolean" => 1.0,
        "smallint" => 2.0,
        "integer" | "date" | "real" => 4.0,
        "bigint" | "double precision" => 8.0,
        _ if type_name.starts_with("timestamp") => 8.0,
        _ => 16.0,
    }
}

fn remedy(known: &Known<'_>, key: &ForeignKey, whole: &Whole<'_>) -> Remedy {
    let table = whole.table;
    let name = known.free_name(table, &key.columns);
    let (schema, columns) = (table.schema.clone(), &key.columns[..]);
    let widths: f64 = key.types.iter().map(|type_name| width(type_name)).sum();
    let bytes = whole.rows() * (ENTRY_BYTES + (widths / 8.0).ceil() * 8.0) / (1.0 - FREE);
    let mut caveats = vec![
        "CONCURRENTLY does not run inside a transaction, and waits for older ones; if it is interrupted, it leaves an \
         invalid index, which is to be dropped."
            .to_owned(),
    ];
    if let Some(names) = known.in_part(key) {
        caveats.push(format!(
            "{} helps in part. That is enough if few rows are alike in the columns that it begins with.",
            names.join(", ")
        ));
    }
    let is_left = |facts: &&IndexFacts| !facts.is_valid && !facts.is_partitioned;
    if let Some(left) = known.indexes(table.oid).find(is_left) {
        caveats.push(format!(
            "{} on this table is invalid: if it was meant for this, build that anew instead (index.invalid).",
            left.name
        ));
    }
    let (apply_sql, undo, lock) = match table.kind {
        'p' => (
            on_partitions(known, columns, whole, &name, &mut caveats),
            Statement::DropIndex { schema, name },
            "SHARE",
        ),
        _ => (
            vec![create(true, false, &name, table, columns)],
            Statement::DropIndexConcurrently { schema, name },
            "SHARE UPDATE EXCLUSIVE",
        ),
    };
    if apply_sql.iter().any(|sql| sql.contains(remedy::ATTACH)) {
        caveats.push(remedy::ABOUT_ATTACHING.to_owned());
    }
    // to drop the index of the whole drops those of its partitions, the ones that were there before, too
    let takes_others = table.kind == 'p'
        && (known.has_levels(whole)
            || whole
                .parts
                .iter()
                .any(|part| known.equal(part.facts.oid, columns).is_some()));
    if takes_others {
        caveats.push(
            "There is no undo in one statement: to drop the index of the whole drops those of its partitions, and with them \
             those that were there before."
                .to_owned(),
        );
    }
    Remedy {
        apply_sql,
        undo_sql: (!takes_others).then(|| undo.sql()).into_iter().collect(),
        lock: Some(lock.to_owned()),
        rewrites_table: Some(false),
        extra_disk_bytes: Some(bytes.round()),
        expected_seconds: None,
        caveats,
    }
}

/// An index of a partitioned table: one partition after the other, where they are partitions of the table itself.
fn on_partitions(
    known: &Known<'_>,
    columns: &[String],
    whole: &Whole<'_>,
    name: &str,
    caveats: &mut Vec<String>,
) -> Vec<String> {
    let table = whole.table;
    let has_levels = known.has_levels(whole);
    if has_levels || whole.parts.is_empty() || whole.parts.len() > PARTITIONS {
        caveats.push(
            "Writes to all of its partitions wait for as long as it takes. To avoid that, build the index of each partition \
             CONCURRENTLY, then that of the table ON ONLY it, and attach those of the partitions."
                .to_owned(),
        );
        return vec![create(false, false, name, table, columns)];
    }
    caveats.push(
        "The index of the table itself is there at once, and is valid when those of all partitions are attached.".to_owned(),
    );
    let mut apply_sql = vec![create(false, true, name, table, columns)];
    let mut attach = Vec::new();
    for part in whole.parts.iter().map(|part| part.facts) {
        let own = match known.equal(part.oid, columns) {
            Some(facts) => facts.name.clone(),
            None => {
                let own = known.free_name(part, columns);
                apply_sql.push(create(true, false, &own, part, columns));
                own
            }
        };
        attach.push(
            Statement::AttachIndexPartition {
                schema: table.schema.clone(),
                name: name.to_owned(),
                partition_schema: part.schema.clone(),
                partition: own,
            }
            .sql(),
        );
    }
    apply_sql.extend(attach);
    apply_sql
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::advice::AdvisedIndex;
    use crate::model::catalog::Catalog;
    use crate::model::observation::Observation;
    use crate::model::schema::Schema;
    use crate::rules::testing::{
        advised, advised_statement, claims, found, index, last_hour, set_schema, severities, table, tables,
    };

    /// `public.t` (OID 1) with so many rows, whose column a points at `public.parent` (OID 2), and these indexes.
    fn observed(rows: f64, size_bytes: f64, deleted: i64, indexes: Vec<IndexFacts>) -> Observation {
        let facts = vec![table(1, "t", rows, size_bytes), table(2, "parent", 10.0, 8192.0)];
        with(facts, deleted, indexes)
    }

    fn with(facts: Vec<TableFacts>, deleted: i64, indexes: Vec<IndexFacts>) -> Observation {
        let mut observed = tables(facts.clone());
        let database = &mut observed.databases[0];
        database.catalog = Arc::new(Catalog::new(facts.into(), indexes.into()));
        database.table_activity = Ok(vec![last_hour(2, |delta| delta.deleted = deleted)]);
        let key = ForeignKey {
            oid: 70,
            name: "t_a_fkey".into(),
            table_oid: 1,
            columns: vec!["a".into()],
            types: vec!["integer".into()],
            referenced_oid: 2,
            referenced_columns: vec!["id".into()],
            referenced_types: vec!["integer".into()],
            is_match_full: false,
            on_delete: 'c',
        };
        set_schema(
            &mut observed,
            Schema {
                foreign_keys: vec![key],
                ..Schema::default()
            },
        );
        observed
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let judged = |rows: f64, size_bytes: f64, deleted: i64| {
            severities::<FkMissing>(&observed(rows, size_bytes, deleted, vec![]))
        };
        assert_eq!(judged(1_000.0, 65_537.0, 0), [Severity::Info]);
        assert_eq!(judged(999.0, 65_537.0, 0), []);
        assert_eq!(judged(1_000.0, 65_536.0, 0), [], "eight pages");
        assert_eq!(judged(1_000.0, 65_537.0, 1), [Severity::Warning]);
        assert_eq!(judged(999_999.0, 1e8, 0), [Severity::Info]);
        assert_eq!(judged(1_000_000.0, 1e8, 0), [Severity::Warning]);
    }

    #[test]
    fn only_an_index_that_serves_counts() {
        let judged = |change: fn(&mut IndexFacts)| {
            let mut facts = index(9, "t_a");
            change(&mut facts);
            claims::<FkMissing>(&observed(1e4, 1e6, 0, vec![facts])).unwrap()
        };
        assert_eq!(judged(|facts| facts.foreign_keys = [70].into()).len(), 0);
        assert_eq!(judged(|facts| facts.foreign_keys = [71].into()).len(), 1);
        let partial = judged(|facts| facts.foreign_keys_in_part = [70].into()).remove(0);
        assert_eq!(partial.evidence["indexes_in_part"], json!(["t_a"]));
        let broken = judged(|facts| facts.is_valid = false).remove(0);
        assert!(
            broken
                .remedy
                .caveats
                .iter()
                .any(|caveat| caveat.contains("index.invalid"))
        );
    }

    #[test]
    fn what_is_left_out_and_what_is_not_known() {
        let with_table = |change: fn(&mut TableFacts)| {
            let mut facts = vec![table(1, "t", 1e4, 1e6), table(2, "parent", 10.0, 8192.0)];
            change(&mut facts[0]);
            let found = found::<FkMissing>(&with(facts, 0, vec![])).unwrap();
            (found.claims.len(), found.undecided.len(), found.untold)
        };
        assert_eq!(with_table(|_| ()), (1, 0, None));
        assert_eq!(with_table(|facts| facts.owned_by_extension = true), (0, 0, None));
        assert_eq!(
            with_table(|facts| facts.rows = -1.0),
            (0, 1, Some(ROWS_UNKNOWN.to_owned()))
        );
        let building = IndexFacts {
            is_valid: false,
            may_be_in_progress: true,
            ..index(9, "t_a")
        };
        let waits = found::<FkMissing>(&observed(1e4, 1e6, 0, vec![building])).unwrap();
        assert_eq!(
            (waits.claims.len(), waits.untold.as_deref()),
            (0, Some(BEING_INDEXED))
        );
        let mut unread = observed(1e4, 1e6, 0, vec![]);
        unread.databases[0].schema = Err(Unknown::because("not now"));
        assert_eq!(found::<FkMissing>(&unread).unwrap_err().reason, "not now");
        let mut uncounted = observed(1e4, 1e6, 9, vec![]);
        uncounted.databases[0].table_activity = Err(Unknown::because("not now"));
        let claim = claims::<FkMissing>(&uncounted).unwrap().remove(0);
        assert_eq!(claim.severity, Severity::Info);
        assert!(
            claim
                .confidence
                .reason
                .contains("not checked: whether rows are deleted")
        );
    }

    #[test]
    fn what_index_missing_tells_is_not_told_twice() {
        let judged = |rehearsals: Rehearsals| {
            let mut observed = observed(1e4, 1e6, 0, vec![]);
            observed.databases[0].rehearsals = rehearsals;
            let found = found::<FkMissing>(&observed).unwrap();
            (found.claims.len(), found.undecided.len(), found.untold)
        };
        // an index on public.t (a), for a statement that cost 100 and took a hundredth of the time
        let known = |cost_after: f64, change: fn(&mut AdvisedIndex)| {
            let one = advised_statement("s1", &["CREATE a"], Some(cost_after));
            let mut advised = advised(&["CREATE a"], vec![one]);
            change(&mut advised.report.indexes[0]);
            judged(Rehearsals::Known(Arc::new(advised)))
        };
        assert_eq!(known(0.0, |_| ()), (0, 0, None));
        let also = known(0.0, |index| index.columns.push("b".into()));
        assert_eq!(also, (0, 0, None), "it begins with the column");
        assert_eq!(known(1.0, |_| ()), (0, 1, Some(NEARLY.to_owned())));
        assert_eq!(known(51.0, |_| ()), (1, 0, None), "not worth a finding there");
        let others: [fn(&mut AdvisedIndex); 4] = [
            |index| index.predicate = Some("b > 0".into()),
            |index| index.columns = vec!["b".into(), "a".into()],
            |index| index.method = "gin".into(),
            |index| index.table = "parent".into(),
        ];
        for other in others {
            assert_eq!(known(0.0, other), (1, 0, None), "it does not serve the key");
        }
        assert_eq!(judged(Rehearsals::Coming), (0, 1, Some(TO_BE_ASKED.to_owned())));
        assert_eq!(judged(Rehearsals::NotTried), (1, 0, None));
        let hardly_planned = || {
            let one = advised_statement("s1", &["CREATE a"], Some(1.0));
            let refused = |number: usize| advised_statement(&format!("refused{number}"), &[], None);
            let mut statements: Vec<_> = (0..8).map(refused).collect();
            statements.push(one);
            Rehearsals::Known(Arc::new(advised(&["CREATE a"], statements)))
        };
        assert_eq!(judged(hardly_planned()), (1, 0, None), "index.missing is skipped");
        let mut stopped = advised(&[], vec![advised_statement("s1", &[], Some(100.0))]);
        stopped.report.workload.was_stopped = true;
        let stopped = judged(Rehearsals::Known(Arc::new(stopped)));
        assert_eq!(
            stopped,
            (0, 1, Some(TO_BE_ASKED.to_owned())),
            "the next run may find it"
        );
        let mut unheard = observed(1e4, 1e6, 0, vec![]);
        let one = advised_statement("s1", &["CREATE a"], Some(0.0));
        unheard.databases[0].rehearsals = Rehearsals::Known(Arc::new(advised(&["CREATE a"], vec![one])));
        let key = &unheard.databases[0].schema.as_ref().unwrap().facts.foreign_keys[0];
        unheard.databases[0].missing_indexes_untold = [key.table_oid].into();
        let told = claims::<FkMissing>(&unheard).unwrap().len();
        assert_eq!(told, 1, "nobody hears of index.missing");
    }

    #[test]
    fn the_index_has_a_name_of_its_own() {
        let facts = IndexFacts {
            table_oid: 5,
            ..index(9, "t_a_idx")
        };
        let claim = claims::<FkMissing>(&observed(9e5, 1e8, 0, vec![facts]))
            .unwrap()
            .remove(0);
        assert_eq!(claim.subject, ["public", "t", "t_a_fkey"]);
        assert_eq!(
            claim.remedy.apply_sql,
            ["CREATE INDEX CONCURRENTLY t_a_idx2 ON public.t USING btree (a)"]
        );
        assert_eq!(claim.remedy.undo_sql, ["DROP INDEX CONCURRENTLY public.t_a_idx2"]);
        assert_eq!(claim.remedy.extra_disk_bytes, Some(2e7));
    }

    #[test]
    fn partitions_are_one_table() {
        let parts = || {
            let mut facts = vec![
                table(1, "t", -1.0, 0.0),
                table(2, "parent", 10.0, 8192.0),
                table(3, "t_1", 6e5, 1e7),
                table(4, "t_2", 6e5, 1e7),
            ];
            facts[0].kind = 'p';
            (facts[2].partition_of, facts[3].partition_of) = (Some(1), Some(1));
            facts
        };
        let claim = claims::<FkMissing>(&with(parts(), 0, vec![])).unwrap().remove(0);
        assert_eq!(claim.severity, Severity::Warning);
        assert_eq!(
            claim.remedy.apply_sql,
            [
                "CREATE INDEX t_a_idx ON ONLY public.t USING btree (a)",
                "CREATE INDEX CONCURRENTLY t_1_a_idx ON public.t_1 USING btree (a)",
                "CREATE INDEX CONCURRENTLY t_2_a_idx ON public.t_2 USING btree (a)",
                "ALTER INDEX public.t_a_idx ATTACH PARTITION public.t_1_a_idx",
                "ALTER INDEX public.t_a_idx ATTACH PARTITION public.t_2_a_idx",
            ]
        );
        assert_eq!(claim.remedy.undo_sql, ["DROP INDEX public.t_a_idx"]);
        let own = |oid: u32, table_oid: u32| IndexFacts {
            table_oid,
            foreign_keys: [oid + 100].into(),
            ..index(oid, "own")
        };
        let judged =
            |indexes: Vec<IndexFacts>| claims::<FkMissing>(&with(parts(), 0, indexes)).unwrap().len();
        assert_eq!(judged(vec![own(9, 3)]), 1, "one partition has none");
        let half = claims::<FkMissing>(&with(parts(), 0, vec![own(9, 3)]))
            .unwrap()
            .remove(0);
        assert_eq!(
            half.remedy.apply_sql,
            [
                "CREATE INDEX t_a_idx ON ONLY public.t USING btree (a)",
                "CREATE INDEX CONCURRENTLY t_2_a_idx ON public.t_2 USING btree (a)",
                "ALTER INDEX public.t_a_idx ATTACH PARTITION public.own",
                "ALTER INDEX public.t_a_idx ATTACH PARTITION public.t_2_a_idx",
            ],
            "what is there is taken"
        );
        assert_eq!(judged(vec![own(9, 3), own(10, 4)]), 0);
        let mut of_levels = parts();
        of_levels.push(TableFacts {
            kind: 'p',
            partition_of: Some(1),
            ..table(5, "t_3", -1.0, 0.0)
        });
        let claim = claims::<FkMissing>(&with(of_levels, 0, vec![]))
            .unwrap()
            .remove(0);
        assert_eq!(
            claim.remedy.apply_sql,
            ["CREATE INDEX t_a_idx ON public.t USING btree (a)"]
        );
    }
}
