//! schema.int_key_overflow

mod changes;

use std::collections::{BTreeSet, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::sequence_exhaustion::{Bounds, Way, column_limit, integer_type, is_of_extension, unread};
use crate::model::catalog::TableFacts;
use crate::model::finding::{Claim, Impact, Object, ObjectKind, Severity};
use crate::model::observation::{DatabaseObservation, SchemaObservation, Unknown};
use crate::model::remedy::{Remedy, Statement, qualified, quote_literal};
use crate::model::schema::{Schema, Sequence, SequenceColumn};
use crate::model::unit::{Period, Size, bytes_for_people, plural};
use crate::rules::column_types::{Retyped, listed, tell_beside, tell_refusals, withhold};
use crate::rules::whole_sizes::WholeSizes;
use crate::rules::{Found, Place, Rule, Scope, evidence, number};

use changes::{Changes, names, widened};

/// A smallint or integer column whose sequence comes near the end of the column's type.
///
/// ## Why it is bad
/// After 2 147 483 647 (smallint: 32 767) every INSERT that draws a key fails. To widen a large column then takes hours in
/// which nobody can write.
///
/// ## What to do
/// Widen the column to bigint while there is time. A small table is rewritten in place. A large one takes another way: a new
/// column, a trigger that fills it, the old rows in batches, then a swap. Columns that refer to it must be widened first. Tables
/// that inherit from it are rewritten with it, and counted in. Where PostgreSQL would refuse (views, rules, triggers, generated
/// columns and policies that use the column; a partition key), that is named, and no SQL is given that must fail.
///
/// ## When it is wrong to obey
/// Where the table is to be emptied, or goes away, before its keys run out.
///
/// The sequence tells how far the keys are: one that was set far ahead by hand looks used up. Where the sequence ends before
/// the column does, schema.sequence_exhaustion speaks instead; never both. A column of a domain ends as what the domain is
/// over; how to widen it is told without SQL, since another type would lose what the domain checks. Of several columns that
/// one sequence feeds the one that ends first is told, and the others with it; it does not wait for these. Shares, rates and
/// sequences that may not be read are handled as there. Source: PostgreSQL's chapters "Numeric Types" and "ALTER TABLE".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntKeyOverflow {
    /// Used share of the column's numbers, 0 to 1, from which it is worth a word.
    info_share: f64,
    /// Used share of the column's numbers, 0 to 1, from which it is a warning.
    warning_share: f64,
    /// Used share of the column's numbers, 0 to 1, from which it is critical.
    critical_share: f64,
    /// It is critical, too, where they end sooner than this at the sequence's rate.
    critical_time: Period,
    /// Used share of the column's numbers, 0 to 1, from which the rate counts.
    rate_min_share: f64,
    /// Up to this size, with its indexes, a table is advised to be rewritten in place.
    rewrite_size: Size,
}

impl Default for IntKeyOverflow {
    fn default() -> Self {
        Self {
            info_share: 0.5,
            warning_share: 0.75,
            critical_share: 0.9,
            critical_time: Period::days(30),
            rate_min_share: 0.25,
            rewrite_size: Size::gigabytes(1),
        }
    }
}

/// A column that comes near its end.
struct Key<'a> {
    severity: Severity,
    way: Way,
    limit: i64,
    sequence: &'a Sequence,
    column: &'a SequenceColumn,
    table: &'a TableFacts,
}

impl<'a> Key<'a> {
    /// Its column, to become a bigint.
    fn widened(&self) -> Retyped<'a> {
        widened(self.table, self.column)
    }

    fn subject(&self) -> Vec<String> {
        subject(self.table, self.column)
    }

    fn object(&self) -> Object {
        object(self.table, self.column)
    }
}

fn object(table: &TableFacts, column: &SequenceColumn) -> Object {
    Object {
        kind: ObjectKind::Column,
        schema: Some(table.schema.clone()),
        name: column.name.clone(),
        table: Some(table.name.clone()),
    }
}

/// The column of which this rule tells, should it come near its end, and no other rule does; by the sequence that feeds it.
pub fn told_column(database: &DatabaseObservation, sequence: &Sequence) -> Option<Object> {
    fed(database, sequence).map(|(_, column, table)| object(table, column))
}

fn subject(table: &TableFacts, column: &SequenceColumn) -> Vec<String> {
    vec![table.schema.clone(), table.name.clone(), column.name.clone()]
}

impl Rule for IntKeyOverflow {
    const ID: &'static str = "schema.int_key_overflow";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let schema = database.schema()?;
        let bounds = Bounds {
            info: self.info_share,
            warning: self.warning_share,
            critical: self.critical_share,
            soon: self.critical_time,
            rate: self.rate_min_share,
        };
        let (mut keys, mut unreadable, mut undecided, mut readable) =
            (Vec::new(), Vec::new(), Vec::new(), 0_usize);
        for sequence in &schema.facts.sequences {
            let Some((limit, column, table)) = fed(database, sequence) else {
                continue;
            };
            if !sequence.is_readable {
                unreadable.push(sequence);
                undecided.push(subject(table, column));
                continue;
            }
            readable += 1;
            if let Some(way) = Way::of(schema, sequence, limit)
                && let Some(severity) = bounds.severity(&way)
            {
                keys.push(Key {
                    severity,
                    way,
                    limit,
                    sequence,
                    column,
                    table,
                });
            }
        }
        let mut found = Found::default();
        if !unreadable.is_empty() {
            let unknown = unread(place, &unreadable);
            if readable == 0 {
                return Err(unknown);
            }
            (found.untold, found.undecided) = (Some(unknown.reason), undecided);
        }
        keys.sort_by(|a, b| {
            let by_severity = b.severity.cmp(&a.severity);
            let by_share = by_severity.then(b.way.used_ratio.total_cmp(&a.way.used_ratio));
            by_share.then_with(|| a.subject().cmp(&b.subject()))
        });
        // of several sequences that feed a column, or its parts in partitions, the one that is farthest counts
        let mut told = HashSet::new();
        keys.retain(|key| told.insert((key.table.oid, &key.column.name)));
        if keys.is_empty() {
            return Ok(found);
        }
        let sizes = WholeSizes::of(&database.catalog, &schema.facts);
        for key in &keys {
            found.claim_worst_first(
                place,
                || key.subject(),
                || self.claim(place, (database, &sizes), schema, key),
            );
        }
        Ok(found)
    }
}

/// The end of the column that a sequence feeds, that column, and its table: where the column is what would end. A partition
/// counts as the table that it belongs to.
fn fed<'a>(
    database: &'a DatabaseObservation,
    sequence: &'a Sequence,
) -> Option<(i64, &'a SequenceColumn, &'a TableFacts)> {
    let limit = column_limit(sequence)?;
    // one that cycles where the column ends never goes beyond it
    if sequence.cycles && limit == sequence.limit() || is_of_extension(database, sequence) {
        return None;
    }
    let column = sequence.column.as_ref()?;
    Some((limit, column, whole_table(database, column)?))
}

/// The table of a column, of a partition the one at its top.
fn whole_table<'a>(database: &'a DatabaseObservation, column: &SequenceColumn) -> Option<&'a TableFacts> {
    let tables = &database.catalog.tables;
    let table = tables.get(column.table_oid)?;
    let top = table.partition_of.and_then(|oid| tables.get(oid));
    Some(top.unwrap_or(table))
}

impl IntKeyOverflow {
    fn claim(
        &self,
        place: &Place<'_>,
        (database, sizes): (&DatabaseObservation, &WholeSizes),
        schema: &SchemaObservation,
        key: &Key<'_>,
    ) -> Claim {
        let (table, column, sequence, way) = (key.table, key.column, key.sequence, &key.way);
        let last = sequence.last_value.unwrap_or_default();
        let size_bytes = sizes.bytes(table.oid);
        let changes = Changes::of(database, schema, key, self.info_share);
        let others = (!changes.others.is_empty()).then(|| changes.others());
        let guards = way.guards(&[
            "the column ends no later than its sequence",
            "the columns that refer to it",
        ]);
        Claim {
            title: format!(
                "{}.{}.{} has used {} % of {}",
                table.schema,
                table.name,
                column.name,
                way.percent(),
                column.type_name
            ),
            explanation: format!(
                "Its sequence {}.{} is at {last}, and {} ends at {}: {}. After that every INSERT that draws a key fails. {} \
                 before; it and its indexes take {}.",
                sequence.schema,
                sequence.name,
                column.type_name,
                key.limit,
                way.left(),
                match &column.domain {
                    None => "Widen the column to bigint".to_owned(),
                    Some(domain) => format!("Give the column a wider domain than {domain}"),
                },
                bytes_for_people(size_bytes)
            ),
            evidence: evidence([
                ("last_value", json!(last)),
                ("limit", json!(key.limit)),
                ("used_ratio", number(way.used_ratio)),
                ("values_left", json!(way.values_left)),
                ("values_per_day", json!(way.per_day.map(f64::round))),
                ("left_days", json!(way.days_left.map(f64::round))),
                ("type", json!(column.type_name)),
                ("domain", json!(column.domain)),
                (
                    "sequence",
                    json!(format!("{}.{}", sequence.schema, sequence.name)),
                ),
                ("other_columns", json!(others)),
                ("size_bytes", json!(size_bytes)),
                ("referring_columns", json!(changes.referring())),
            ]),
            evidence_sql: Some(evidence_sql(key)),
            impact: Impact {
                days_left: way.days_left,
                ..Impact::default()
            },
            confidence: guards.confidence("the last value of its sequence"),
            remedy: self.remedy(key, &schema.facts, sizes, &changes),
            guards: guards.told(),
            ..place.claim(Self::ID, key.severity, key.subject(), Some(key.object()))
        }
    }

    fn remedy(&self, key: &Key<'_>, schema: &Schema, sizes: &WholeSizes, changes: &Changes<'_>) -> Remedy {
        let mut remedy = Remedy {
            caveats: changes.told(),
            ..Remedy::default()
        };
        let is_small = |one: &Retyped<'_>| sizes.bytes(one.table.oid) <= self.rewrite_size.bytes as f64;
        let run = changes.run(schema, is_small);
        let is_key_small = is_small(&changes.key);
        match &key.column.domain {
            // what it says of that is all that there is to say
            _ if changes.key.is_in_partition_key(schema) => {}
            Some(_) => of_domain(is_key_small, sizes.bytes(key.table.oid), &mut remedy),
            None if is_key_small => in_place(key, &run, sizes, &mut remedy),
            None => in_steps(sizes.bytes(key.table.oid), &mut remedy),
        }
        let needed = changes.needed();
        let tables: HashSet<u32> = needed.iter().chain(&run).map(|one| one.table.oid).collect();
        remedy.caveats.extend(sizes.about_heirs(&tables));
        let large = names(changes.of_key.iter().filter(|one| !is_small(one)));
        let comes_after_large = !large.is_empty() && !remedy.apply_sql.is_empty();
        if comes_after_large {
            remedy.caveats.push(format!(
                "Of these, {} would be rewritten for long: give each a new column, filled in batches, and swap the names.",
                listed(&large, large.len())
            ));
        }
        tell_refusals(&mut remedy, schema, &needed);
        // what is refused withholds it itself, and tells whether there is an after
        if comes_after_large || !sizes.are_heirs_known() {
            withhold(&mut remedy, false);
        }
        about_others(&mut remedy, schema, &changes.beside(), is_small);
        remedy.caveats.extend(about_its_end(key.sequence));
        remedy
            .caveats
            .push("See that clients take such numbers: drivers, generated code, JavaScript.".to_owned());
        remedy
    }
}

/// Says what stands in the way of columns for which the key does not wait.
fn about_others(
    remedy: &mut Remedy,
    schema: &Schema,
    beside: &[Retyped<'_>],
    is_small: impl Fn(&Retyped<'_>) -> bool,
) {
    tell_beside(remedy, schema, beside);
    let large = names(beside.iter().filter(|one| !is_small(one) && one.is_run(schema)));
    if !large.is_empty() {
        remedy.caveats.push(format!(
            "The key need not wait for {}, which would be rewritten for long: give each a new column, filled in batches, and \
             swap the names.",
            listed(&large, large.len())
        ));
    }
}

fn evidence_sql(key: &Key<'_>) -> String {
    format!(
        "SELECT s.last_value, s.data_type AS sequence_type, format_type(a.atttypid, a.atttypmod) AS column_type\n  \
         FROM pg_sequences AS s, pg_attribute AS a WHERE s.schemaname = {} AND s.sequencename = {}\n  \
         AND a.attrelid = {}::regclass AND a.attname = {}",
        quote_literal(&key.sequence.schema),
        quote_literal(&key.sequence.name),
        quote_literal(&qualified(&key.table.schema, &key.table.name)),
        quote_literal(&key.column.name)
    )
}

/// What is said of a sequence that ends elsewhere than its type.
fn about_its_end(sequence: &Sequence) -> Option<String> {
    let end = sequence.limit();
    let is_set = sequence.limit_of(&sequence.type_name) != Some(end);
    is_set.then(|| format!("The sequence has an end of its own, {end}, set by hand: move that, too."))
}

/// Adds the rewrites of tables that are small enough for it, that of the key last. An identity column takes its sequence along.
fn in_place(key: &Key<'_>, changes: &[Retyped<'_>], sizes: &WholeSizes, remedy: &mut Remedy) {
    let tables: BTreeSet<u32> = changes.iter().map(|one| one.table.oid).collect();
    let size_bytes: f64 = tables.iter().map(|oid| sizes.bytes(*oid)).sum();
    let sequence = |type_name: &'static str| Statement::AlterSequenceType {
        schema: key.sequence.schema.clone(),
        name: key.sequence.name.clone(),
        type_name,
    };
    let before =
        integer_type(&key.sequence.type_name).filter(|name| *name != "bigint" && !key.column.is_identity);
    remedy.apply_sql.extend(changes.iter().map(Retyped::apply_sql));
    remedy.apply_sql.extend(before.map(|_| sequence("bigint").sql()));
    remedy
        .undo_sql
        .extend(before.map(|before| sequence(before).sql()));
    remedy
        .undo_sql
        .extend(changes.iter().rev().map(Retyped::undo_sql));
    remedy.lock = Some("ACCESS EXCLUSIVE".to_owned());
    remedy.rewrites_table = Some(true);
    remedy.extra_disk_bytes = Some(size_bytes);
    if tables.is_empty() {
        return;
    }
    remedy.caveats.push(format!(
        "It rewrites {} with all indexes, {}; nobody can read or write what is being rewritten, or the tables that refer to it, \
         meanwhile. Set a lock_timeout.",
        plural(tables.len(), "table", "tables"),
        bytes_for_people(size_bytes)
    ));
    if key.table.kind == 'p' {
        remedy.caveats.push("All partitions are rewritten.".to_owned());
    }
}

/// Adds what the other domain of a column costs, which is told with what is in its way.
fn of_domain(is_small: bool, size_bytes: f64, remedy: &mut Remedy) {
    match is_small {
        true => remedy.caveats.push(format!(
            "ALTER COLUMN … TYPE rewrites the table and its indexes, {}; nobody can read or write the table meanwhile.",
            bytes_for_people(size_bytes)
        )),
        false => in_steps(size_bytes, remedy),
    }
    remedy
        .caveats
        .push("Its sequence needs AS bigint, too.".to_owned());
}

/// Adds the way for a table that is too large to be rewritten at once.
fn in_steps(size_bytes: f64, remedy: &mut Remedy) {
    let told = [
        format!(
            "ALTER COLUMN … TYPE would rewrite {} while nobody can read or write the table. The other way follows.",
            bytes_for_people(size_bytes)
        ),
        "1. Add a bigint column, and a trigger that copies the key into it at every INSERT and UPDATE. 2. Backfill the old rows \
         in batches of some thousands, with VACUUM between them. 3. Build a unique index on it CONCURRENTLY; add CHECK (… IS \
         NOT NULL) NOT VALID and VALIDATE it."
            .to_owned(),
        "4. In one short transaction with a lock_timeout: drop the trigger, swap the names, give the new column the default or \
         identity and the sequence (OWNED BY, AS bigint), make the index the primary key, and add the foreign keys to it \
         NOT VALID. 5. VALIDATE them, and drop the old column."
            .to_owned(),
        "Where that takes longer than the keys last: if nothing minds negative keys, let the sequence go on from the least \
         number of the type (MINVALUE and RESTART), which gives as many again."
            .to_owned(),
    ];
    remedy.caveats.extend(told);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Observation;
    use crate::model::schema::{FixedColumn, ForeignKey, InheritedTable};
    use crate::rules::testing::{claims, found, set_schema, severities, table, tables};

    /// `public.t_id_seq`, which feeds `public.t.id`.
    fn serial(type_name: &str, last_value: i64) -> Sequence {
        let column = SequenceColumn {
            table_oid: 1,
            name: "id".into(),
            type_name: type_name.into(),
            domain: None,
            is_identity: false,
        };
        let mut sequence = Sequence {
            oid: 9,
            schema: "public".into(),
            name: "t_id_seq".into(),
            type_name: type_name.into(),
            last_value: Some(last_value),
            is_readable: true,
            least: 1,
            increment: 1,
            column: Some(column),
            ..Sequence::default()
        };
        sequence.greatest = sequence.limit_of(type_name).unwrap_or(i64::MAX);
        sequence
    }

    fn observed(sequence: Sequence, change: impl FnOnce(&mut Schema, &mut TableFacts)) -> Observation {
        let mut schema = Schema {
            sequences: vec![sequence],
            ..Schema::default()
        };
        let mut facts = table(1, "t", 10.0, 1e6);
        change(&mut schema, &mut facts);
        let mut observed = tables(vec![facts, table(2, "child", 10.0, 1e6)]);
        set_schema(&mut observed, schema);
        observed
    }

    fn said(sequence: Sequence) -> Vec<Severity> {
        severities::<IntKeyOverflow>(&observed(sequence, |_, _| ()))
    }

    #[test]
    fn the_edges_of_its_shares() {
        // of 32 767: 16 383.5, 24 575.25, 29 490.3
        assert_eq!(said(serial("smallint", 16_383)), []);
        assert_eq!(said(serial("smallint", 16_384)), [Severity::Info]);
        assert_eq!(said(serial("smallint", 24_576)), [Severity::Warning]);
        assert_eq!(said(serial("smallint", 29_490)), [Severity::Warning]);
        assert_eq!(said(serial("smallint", 29_491)), [Severity::Critical]);
        assert_eq!(said(serial("integer", 29_491)), []);
    }

    #[test]
    fn only_a_column_that_ends_no_later_than_its_sequence_is_meant() {
        let near = |change: fn(&mut Sequence)| {
            let mut sequence = serial("integer", 2_147_483_647);
            change(&mut sequence);
            said(sequence).len()
        };
        assert_eq!(near(|_| ()), 1);
        assert_eq!(near(|sequence| sequence.column = None), 0);
        assert_eq!(
            near(|sequence| sequence.greatest -= 1),
            0,
            "the sequence ends first"
        );
        assert_eq!(near(|sequence| sequence.greatest += 1), 1);
        assert_eq!(near(|sequence| sequence.cycles = true), 0);
        assert_eq!(
            near(|sequence| (sequence.cycles, sequence.greatest) = (true, i64::MAX)),
            1
        );
        assert_eq!(near(|sequence| sequence.last_value = None), 0);
        assert_eq!(said(serial("bigint", i64::MAX)), []);
        let mut of_text = serial("integer", 2_147_483_647);
        of_text.column.as_mut().unwrap().type_name = "text".into();
        assert_eq!(said(of_text), []);
        let owned = observed(serial("integer", 2_147_483_647), |_, facts| {
            facts.owned_by_extension = true
        });
        assert_eq!(severities::<IntKeyOverflow>(&owned), []);
    }

    #[test]
    fn a_partition_counts_as_its_table_and_each_column_once() {
        let mut second = serial("integer", 2_000_000_000);
        (second.oid, second.name) = (10, "farther".into());
        let found = claims::<IntKeyOverflow>(&observed(serial("integer", 1_900_000_000), |schema, facts| {
            schema.sequences.push(second);
            facts.partition_of = Some(2);
        }))
        .unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].subject, ["public", "child", "id"]);
        assert_eq!(found[0].evidence["sequence"], json!("public.farther"));
        assert_eq!(found[0].evidence["size_bytes"], json!(2e6), "with its partition");
    }

    #[test]
    fn a_small_table_is_rewritten_and_a_large_one_is_not() {
        let claim = |size_bytes: f64, is_identity: bool| {
            let mut sequence = serial("integer", 2_000_000_000);
            sequence.column.as_mut().unwrap().is_identity = is_identity;
            let observed = observed(sequence, |schema, facts| {
                facts.size_bytes = size_bytes;
                schema.foreign_keys.push(ForeignKey {
                    table_oid: 2,
                    columns: vec!["t_id".into(), "other".into()],
                    types: vec!["integer".into(), "integer".into()],
                    referenced_oid: 1,
                    referenced_columns: vec!["id".into(), "other".into()],
                    ..ForeignKey::default()
                });
            });
            claims::<IntKeyOverflow>(&observed).unwrap().remove(0)
        };
        let small = claim(1e9, false);
        assert_eq!(small.evidence["referring_columns"], json!(["public.child.t_id"]));
        let told = &small.remedy.caveats[0];
        assert!(
            told.contains("or to what is widened with it")
                && told.ends_with("widen them first: public.child.t_id."),
            "{told}"
        );
        assert_eq!(
            small.remedy.apply_sql,
            [
                "ALTER TABLE public.child ALTER COLUMN t_id TYPE bigint",
                "ALTER TABLE public.t ALTER COLUMN id TYPE bigint",
                "ALTER SEQUENCE public.t_id_seq AS bigint"
            ]
        );
        assert_eq!(
            small.remedy.undo_sql,
            [
                "ALTER SEQUENCE public.t_id_seq AS integer",
                "ALTER TABLE public.t ALTER COLUMN id TYPE integer",
                "ALTER TABLE public.child ALTER COLUMN t_id TYPE integer"
            ]
        );
        assert_eq!(small.remedy.rewrites_table, Some(true));
        assert_eq!(
            claim(1e9, true).remedy.apply_sql.len(),
            2,
            "an identity takes its sequence along"
        );
        let large = claim(1e9 + 1.0, false).remedy;
        assert!(large.apply_sql.is_empty() && large.undo_sql.is_empty() && large.lock.is_none());
        assert!(large.caveats.iter().any(|caveat| caveat.contains("Backfill")));
    }

    /// What is advised where these columns cannot change, and `public.child.t_id` refers to the key.
    fn remedy_with(fixed: Vec<FixedColumn>, child_bytes: f64) -> Remedy {
        let mut observed = observed(serial("integer", 2_000_000_000), |schema, _| {
            schema.fixed_columns = fixed;
            schema.foreign_keys.push(ForeignKey {
                table_oid: 2,
                columns: vec!["t_id".into()],
                types: vec!["integer".into()],
                referenced_oid: 1,
                referenced_columns: vec!["id".into()],
                ..ForeignKey::default()
            });
        });
        let tables = vec![table(1, "t", 10.0, 1e6), table(2, "child", 10.0, child_bytes)];
        let catalog = crate::model::catalog::Catalog::new(tables.into(), vec![].into());
        observed.databases[0].catalog = std::sync::Arc::new(catalog);
        claims::<IntKeyOverflow>(&observed).unwrap().remove(0).remedy
    }

    fn fixed(table_oid: u32, name: Option<&str>, change: fn(&mut FixedColumn)) -> FixedColumn {
        let mut fixed = FixedColumn {
            table_oid,
            name: name.map(str::to_owned),
            ..FixedColumn::default()
        };
        change(&mut fixed);
        fixed
    }

    #[test]
    fn what_postgresql_would_refuse_is_not_given_to_be_run() {
        let nothing = |_: &mut FixedColumn| ();
        let in_a_view = |one: &mut FixedColumn| (one.used_by, one.users) = (vec!["view public.v".into()], 1);
        let free = remedy_with(
            vec![fixed(1, None, nothing), fixed(2, Some("other"), in_a_view)],
            1e6,
        );
        assert_eq!(free.apply_sql.len(), 3);
        let all = free.caveats.join(" ");
        assert!(!all.contains("refuses") && all.contains("2 tables"), "{all}");
        for (oid, column) in [(1, "id"), (2, "t_id")] {
            let used = remedy_with(vec![fixed(oid, Some(column), in_a_view)], 1e6);
            assert_eq!((used.apply_sql.len(), used.undo_sql.len()), (0, 0), "{column}");
            let all = used.caveats.join(" ");
            assert!(all.contains("while these use it: view public.v."), "{all}");
            assert!(all.contains("After that: ALTER TABLE public.child "), "{all}");
        }
        let key = remedy_with(
            vec![fixed(1, Some("id"), |one| one.is_in_partition_key = true)],
            1e6,
        );
        let all = key.caveats.join(" ");
        assert!(key.apply_sql.is_empty() && !all.contains("ALTER TABLE"), "{all}");
        assert!(all.contains("another partitioned table"), "{all}");
        let large = remedy_with(vec![], 1e12);
        let all = large.caveats.join(" ");
        assert!(
            large.apply_sql.is_empty() && all.contains("public.child.t_id would be rewritten for long"),
            "{all}"
        );
    }

    #[test]
    fn what_comes_after_is_told_last_and_is_only_what_runs() {
        let after = |fixed: Vec<FixedColumn>, child_bytes: f64| {
            let remedy = remedy_with(fixed, child_bytes);
            assert!(remedy.apply_sql.is_empty() && remedy.undo_sql.is_empty() && remedy.lock.is_none());
            let all = remedy.caveats;
            let told = all.iter().position(|caveat| caveat.starts_with("After that: "));
            let refused = all
                .iter()
                .position(|caveat| caveat.contains("no other type while") || caveat.contains("is inherited"));
            assert!(told.is_none() || refused < told, "{all:?}");
            assert_eq!(
                child_bytes > 1e9,
                all.iter().any(|caveat| caveat.contains("rewritten for long"))
            );
            told.map(|place| all[place].clone())
        };
        let in_a_view = |one: &mut FixedColumn| (one.used_by, one.users) = (vec!["view public.v".into()], 1);
        let own = "After that: ALTER TABLE public.t ALTER COLUMN id TYPE bigint; ALTER SEQUENCE public.t_id_seq AS bigint.";
        assert_eq!(after(vec![], 1e12).as_deref(), Some(own));
        let used = vec![fixed(1, Some("id"), in_a_view)];
        assert_eq!(after(used, 1e12).as_deref(), Some(own));
        let inherited = vec![fixed(2, Some("t_id"), |one| one.is_inherited = true)];
        assert_eq!(after(inherited, 1e6).as_deref(), Some(own));
        let key = vec![fixed(2, Some("t_id"), |one| one.is_in_partition_key = true)];
        assert_eq!(
            after(key, 1e12),
            None,
            "the key of another table can never follow"
        );
    }

    #[test]
    fn a_column_of_a_domain_is_told_without_sql() {
        for size_bytes in [1e6, 1e12] {
            let mut sequence = serial("integer", 2_000_000_000);
            sequence.column.as_mut().unwrap().domain = Some("public.customer_number".into());
            let in_key = fixed(1, Some("id"), |one| one.is_in_partition_key = true);
            let of_key = observed(sequence.clone(), |schema, facts| {
                schema.fixed_columns.push(in_key);
                facts.size_bytes = size_bytes;
            });
            let of_key = claims::<IntKeyOverflow>(&of_key).unwrap().remove(0).remedy;
            let told = of_key.caveats.join(" ");
            assert!(
                of_key.apply_sql.is_empty() && told.contains("another partitioned table"),
                "{told}"
            );
            assert!(
                !told.contains("ALTER COLUMN") && !told.contains("Backfill"),
                "no command does it: {told}"
            );
            let observed = observed(sequence, |_, facts| facts.size_bytes = size_bytes);
            let claim = claims::<IntKeyOverflow>(&observed).unwrap().remove(0);
            let Remedy {
                apply_sql,
                undo_sql,
                lock,
                caveats,
                ..
            } = claim.remedy;
            assert_eq!((apply_sql.len(), undo_sql.len(), lock), (0, 0, None));
            let caveats = caveats.join(" ");
            assert!(
                caveats.contains("the domain public.customer_number, which is over integer"),
                "{caveats}"
            );
            assert_eq!(caveats.contains("Backfill"), size_bytes > 1e9);
            assert!(!claim.explanation.contains("to bigint"), "{}", claim.explanation);
        }
    }

    #[test]
    fn what_inherits_from_the_table_is_counted_in() {
        let claim = |child_bytes: f64| {
            let inherited = InheritedTable {
                table_oid: 2,
                parent_oid: 1,
            };
            let mut observed = observed(serial("integer", 2_000_000_000), |schema, _| {
                schema.inherited_tables.push(inherited);
            });
            let tables = vec![table(1, "t", 10.0, 1e6), table(2, "child", 10.0, child_bytes)];
            let catalog = crate::model::catalog::Catalog::new(tables.into(), vec![].into());
            observed.databases[0].catalog = std::sync::Arc::new(catalog);
            claims::<IntKeyOverflow>(&observed).unwrap().remove(0)
        };
        let small = claim(1e6);
        assert_eq!(small.evidence["size_bytes"], json!(2e6));
        assert_eq!(
            (small.remedy.apply_sql.len(), small.remedy.extra_disk_bytes),
            (2, Some(2e6))
        );
        let told = small.remedy.caveats.join(" ");
        assert!(told.contains("counted in here: 1 table."), "{told}");
        let large = claim(1e12).remedy;
        assert!(large.apply_sql.is_empty() && large.lock.is_none());
        let told = large.caveats.join(" ");
        assert!(
            told.contains("Backfill") && told.contains("counted in here: 1 table."),
            "{told}"
        );
    }

    /// What is claimed where the sequence of `public.t.id` feeds `public.child.own`, too, of that domain, and `public.far.child_own`
    /// refers to that.
    fn claimed_of_two(domain: Option<&str>) -> Claim {
        claimed_of_fed(domain, 1e6, |_| ())
    }

    /// The same, where `public.child` takes so much, after a change of what else is known.
    fn claimed_of_fed(domain: Option<&str>, child_bytes: f64, change: fn(&mut Schema)) -> Claim {
        let mut sequence = serial("integer", 2_000_000_000);
        let other = |table_oid: u32, name: &str, type_name: &str| SequenceColumn {
            table_oid,
            name: name.into(),
            type_name: type_name.into(),
            domain: domain.map(Into::into),
            is_identity: false,
        };
        sequence.other_columns = vec![
            other(2, "own", "integer"),
            other(2, "wide", "bigint"),
            other(3, "text", "text"),
            // a partition of that table has its own default
            other(4, "own", "integer"),
        ];
        let mut observed = observed(sequence, |schema, _| {
            schema.foreign_keys.push(ForeignKey {
                table_oid: 3,
                columns: vec!["child_own".into()],
                types: vec!["integer".into()],
                domains: vec![domain.map(Into::into)],
                referenced_oid: 2,
                referenced_columns: vec!["own".into()],
                ..ForeignKey::default()
            });
            change(schema);
        });
        let part = TableFacts {
            partition_of: Some(2),
            ..table(4, "child_1", 10.0, 1e6)
        };
        let named = [(1, "t", 1e6), (2, "child", child_bytes), (3, "far", 1e6)];
        let named = named.map(|(oid, name, bytes)| table(oid, name, 10.0, bytes));
        let tables: Vec<TableFacts> = named.into_iter().chain([part]).collect();
        let catalog = crate::model::catalog::Catalog::new(tables.into(), vec![].into());
        observed.databases[0].catalog = std::sync::Arc::new(catalog);
        claims::<IntKeyOverflow>(&observed).unwrap().remove(0)
    }

    #[test]
    fn all_columns_that_one_sequence_feeds_are_widened_together() {
        let claim = claimed_of_two(None);
        assert_eq!(claim.subject, ["public", "t", "id"]);
        assert_eq!(claim.evidence["other_columns"], json!(["public.child.own"]));
        assert_eq!(
            claim.remedy.apply_sql,
            [
                "ALTER TABLE public.far ALTER COLUMN child_own TYPE bigint",
                "ALTER TABLE public.child ALTER COLUMN own TYPE bigint",
                "ALTER TABLE public.t ALTER COLUMN id TYPE bigint",
                "ALTER SEQUENCE public.t_id_seq AS bigint"
            ]
        );
        let told = claim.remedy.caveats.join(" ");
        assert!(told.contains("widen them with it: public.child.own."), "{told}");
        let one = claims::<IntKeyOverflow>(&observed(serial("integer", 2_000_000_000), |_, _| ())).unwrap();
        assert!(!one[0].evidence.contains_key("other_columns"));
        let mut sequence = serial("smallint", 30_000);
        sequence.greatest = i64::MAX;
        sequence.other_columns = serial("integer", 1).column.into_iter().collect();
        sequence.other_columns[0].table_oid = 2;
        let later = claims::<IntKeyOverflow>(&observed(sequence, |_, _| ())).unwrap();
        assert!(
            !later[0].evidence.contains_key("other_columns"),
            "it has long to go"
        );
    }

    #[test]
    fn other_columns_of_a_domain_are_told_and_the_key_does_not_wait_for_them() {
        let remedy = claimed_of_two(Some("app.number")).remedy;
        assert_eq!(remedy.apply_sql, OWN);
        assert_eq!(remedy.undo_sql.len(), 2);
        let told = remedy.caveats.join(" ");
        assert!(told.contains("widen them first: public.far.child_own."), "{told}");
        let of_domain =
            "public.far.child_own, public.child.own are of the domain app.number, which is over integer;";
        assert!(told.contains(of_domain) && !told.contains("After that"), "{told}");
        assert!(!told.contains("ALTER TABLE public.child") && !told.contains("ALTER TABLE public.far"));
    }

    /// What widens the key alone.
    const OWN: [&str; 2] = [
        "ALTER TABLE public.t ALTER COLUMN id TYPE bigint",
        "ALTER SEQUENCE public.t_id_seq AS bigint",
    ];

    #[test]
    fn what_stands_in_the_way_of_other_columns_withholds_nothing_of_the_key() {
        type Change = fn(&mut Schema);
        const FAR: &str = "ALTER TABLE public.far ALTER COLUMN child_own TYPE bigint";
        let in_a_view = |schema: &mut Schema| {
            let used = |one: &mut FixedColumn| (one.used_by, one.users) = (vec!["view public.v".into()], 1);
            schema.fixed_columns = vec![fixed(2, Some("own"), used)];
        };
        let in_a_key = |schema: &mut Schema| {
            let in_key = |one: &mut FixedColumn| one.is_in_partition_key = true;
            schema.fixed_columns = vec![fixed(2, Some("own"), in_key)];
        };
        let cases: [(f64, Change, &str); 3] = [
            (
                1e6,
                in_a_view,
                "public.child.own no other type while these use it",
            ),
            (1e6, in_a_key, "public.child.own is in the partition key"),
            (
                1e12,
                |_| (),
                "public.child.own, which would be rewritten for long",
            ),
        ];
        for (child_bytes, change, words) in cases {
            let remedy = claimed_of_fed(None, child_bytes, change).remedy;
            assert_eq!(remedy.apply_sql, [FAR, OWN[0], OWN[1]]);
            let told = remedy.caveats.join(" ");
            assert!(told.contains(words) && !told.contains("After that"), "{told}");
        }
        let refers_to_both = claimed_of_fed(Some("app.number"), 1e6, |schema| {
            let mut key = schema.foreign_keys[0].clone();
            (key.referenced_oid, key.referenced_columns) = (1, vec!["id".into()]);
            schema.foreign_keys.push(key);
        });
        let told = refers_to_both.remedy.caveats.join(" ");
        assert!(
            refers_to_both.remedy.apply_sql.is_empty(),
            "what refers to the key comes first"
        );
        assert!(
            told.contains(&format!("After that: {}.", OWN.join("; "))),
            "{told}"
        );
    }

    #[test]
    fn what_nobody_knows_the_heirs_of_is_not_given_to_be_rewritten() {
        let remedy = claimed_of_fed(None, 1e6, |schema| schema.are_heirs_unread = true).remedy;
        assert!(remedy.apply_sql.is_empty() && remedy.undo_sql.is_empty() && remedy.lock.is_none());
        let told = remedy.caveats.join(" ");
        assert!(
            told.contains("could not be read") && told.contains("After that: ALTER TABLE"),
            "{told}"
        );
    }

    #[test]
    fn what_may_not_be_read_is_unknown() {
        let mut hidden = serial("integer", 1);
        (hidden.last_value, hidden.is_readable) = (None, false);
        hidden.is_refused = true;
        let all = observed(hidden.clone(), |_, _| ());
        assert!(
            claims::<IntKeyOverflow>(&all)
                .unwrap_err()
                .reason
                .contains("GRANT SELECT")
        );
        let some = observed(hidden, |schema, _| schema.sequences.push(serial("integer", 1)));
        let found = found::<IntKeyOverflow>(&some).unwrap();
        assert_eq!(found.undecided, [["public", "t", "id"]]);
        assert!(found.untold.unwrap().contains("GRANT SELECT"));
    }
}
