//! The design of one database (foreign keys, constraints, sequences) and how its tables were read and written: what
//! changes little, and is read as seldom as the names.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::limits;
use crate::model::remedy::quote_identifier;
use crate::model::schema::{
    Constraint, Domain, FixedColumn, ForeignKey, InheritedTable, Schema, Sequence, SequenceColumn,
};
use crate::model::snapshot::{TableActivityCounters, TableActivityLook};
use crate::model::status::Gap;
use crate::model::unit::plural;
use crate::postgres::{Observe, PostgresError, column, column_or_default, queries};

/// Reads foreign keys, constraints that are not valid, sequences, and what inherits from what.
///
/// # Errors
/// If the server refuses or does not answer, or has more than the bound.
pub async fn schema(session: &Observe, version_num: i32) -> Result<Schema, PostgresError> {
    let limit = (limits::RELATIONS_PER_DATABASE, 0);
    let read = session
        .bounded(queries::FOREIGN_KEYS.on(version_num), limit, |row| {
            (foreign_key(row), column_or_default::<bool>(row, "is_valid"))
        })
        .await?;
    let query = queries::CONSTRAINTS_NOT_VALID.on(version_num);
    let mut not_valid = session.bounded(query, limit, constraint).await?;
    let of_keys = read.iter().filter(|(_, is_valid)| !is_valid);
    not_valid.extend(of_keys.map(|(key, _)| Constraint {
        name: key.name.clone(),
        table_oid: key.table_oid,
        kind: 'f',
        condition: None,
        foreign_key: Some(key.clone()),
        domain: None,
    }));
    not_valid.sort_by(|a, b| (a.table_oid, &a.name).cmp(&(b.table_oid, &b.name)));
    let mut foreign_keys: Vec<ForeignKey> = read.into_iter().map(|(key, _)| key).collect();
    foreign_keys.sort_by_key(|key| key.oid);
    let mut sequences = session
        .bounded(queries::SEQUENCES.on(version_num), limit, sequence)
        .await?;
    sequences.sort_by_key(|sequence| sequence.oid);
    read_values(session, version_num, &mut sequences).await?;
    let inherited_tables = inherited_tables(session, version_num).await?;
    let to_widen = to_widen(&sequences, &foreign_keys);
    Ok(Schema {
        foreign_keys,
        not_valid,
        sequences,
        are_heirs_unread: inherited_tables.is_none(),
        inherited_tables: inherited_tables.unwrap_or_default(),
        trigrams_schema: trigrams_schema(session).await?,
        fixed_columns: fixed_columns(session, version_num, &to_widen).await?,
    })
}

/// The tables of which a column may need another type: those whose keys come near their end, those that refer to them, and those
/// that refer to a column of another type.
fn to_widen(sequences: &[Sequence], foreign_keys: &[ForeignKey]) -> Vec<u32> {
    let near_end = sequences.iter().flat_map(near_end);
    let mut tables: Vec<u32> = Vec::new();
    let add = |tables: &mut Vec<u32>, oid: u32| {
        if !tables.contains(&oid) && tables.len() < limits::TABLES_TO_WIDEN {
            tables.push(oid);
        }
    };
    near_end.for_each(|oid| add(&mut tables, oid));
    // who refers to them, and who refers to those
    let mut place = 0;
    while let Some(referenced) = tables.get(place).copied() {
        place += 1;
        let referring = foreign_keys.iter().filter(|key| key.referenced_oid == referenced);
        referring.for_each(|key| add(&mut tables, key.table_oid));
    }
    let mismatched = foreign_keys
        .iter()
        .filter(|key| key.types != key.referenced_types);
    mismatched.for_each(|key| add(&mut tables, key.table_oid));
    tables
}

/// The tables of the columns that a sequence feeds and that are narrow, where it comes near the end of one.
fn near_end(sequence: &Sequence) -> Vec<u32> {
    let is_narrow = |column: &&SequenceColumn| ["smallint", "integer"].contains(&column.type_name.as_str());
    let narrow: Vec<&SequenceColumn> = sequence.columns().filter(is_narrow).collect();
    let is_near = |column: &&SequenceColumn| {
        let limit = sequence.limit_of(&column.type_name);
        let used_ratio = limit.and_then(|limit| sequence.used_ratio(limit));
        used_ratio.is_some_and(|used_ratio| used_ratio >= limits::TO_WIDEN_RATIO)
    };
    match narrow.iter().any(is_near) {
        true => narrow.iter().map(|column| column.table_oid).collect(),
        false => Vec::new(),
    }
}

/// What keeps columns of some tables from getting another type. Where that is refused no rule waits.
async fn fixed_columns(
    session: &Observe,
    version_num: i32,
    tables: &[u32],
) -> Result<Vec<FixedColumn>, PostgresError> {
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let query = queries::COLUMN_USERS.on(version_num);
    match session.rows(query, &[(&tables, Type::OID_ARRAY)]).await {
        Ok(rows) => Ok(rows.iter().map(fixed_column).collect()),
        Err(error) if error.is_fatal() => Err(error),
        Err(_) => Ok(Vec::new()),
    }
}

fn fixed_column(row: &Row) -> FixedColumn {
    FixedColumn {
        table_oid: column_or_default(row, "table_oid"),
        name: column(row, "name"),
        is_in_partition_key: column_or_default(row, "is_in_partition_key"),
        is_inherited: column_or_default(row, "is_inherited"),
        used_by: column_or_default(row, "used_by"),
        users: column_or_default(row, "users"),
    }
}

/// What inherits from what; nothing where that is refused. No rule waits for it: it makes sizes more exact.
async fn inherited_tables(
    session: &Observe,
    version_num: i32,
) -> Result<Option<Vec<InheritedTable>>, PostgresError> {
    let limit = (limits::RELATIONS_PER_DATABASE, 0);
    let query = queries::INHERITED_TABLES.on(version_num);
    match session.bounded(query, limit, inherited_table).await {
        Ok(tables) => Ok(Some(tables)),
        Err(error) if error.is_fatal() => Err(error),
        Err(_) => Ok(None),
    }
}

/// Where pg_trgm is installed. Where that is refused no rule waits.
async fn trigrams_schema(session: &Observe) -> Result<Option<String>, PostgresError> {
    match session.rows(queries::ADVISE_TRIGRAMS, &[]).await {
        Ok(rows) => Ok(rows.first().and_then(|row| column(row, "schema"))),
        Err(error) if error.is_fatal() => Err(error),
        Err(_) => Ok(None),
    }
}

fn first_character(row: &Row, name: &str) -> char {
    column::<String>(row, name)
        .and_then(|text| text.chars().next())
        .unwrap_or(' ')
}

fn foreign_key(row: &Row) -> ForeignKey {
    ForeignKey {
        oid: column_or_default(row, "oid"),
        name: column_or_default(row, "name"),
        table_oid: column_or_default(row, "table_oid"),
        columns: column_or_default(row, "columns"),
        types: column_or_default(row, "types"),
        domains: column_or_default(row, "domains"),
        referenced_oid: column_or_default(row, "referenced_oid"),
        referenced_columns: column_or_default(row, "referenced_columns"),
        referenced_types: column_or_default(row, "referenced_types"),
        referenced_domains: column_or_default(row, "referenced_domains"),
        on_delete: first_character(row, "on_delete"),
        is_match_full: column_or_default(row, "is_match_full"),
        is_temporal: column_or_default(row, "is_temporal"),
    }
}

fn constraint(row: &Row) -> Constraint {
    let domain = || {
        Some(Domain {
            schema: column(row, "domain_schema")?,
            name: column(row, "domain_name")?,
        })
    };
    Constraint {
        name: column_or_default(row, "name"),
        table_oid: column_or_default(row, "table_oid"),
        kind: first_character(row, "kind"),
        condition: column(row, "condition"),
        foreign_key: None,
        domain: domain(),
    }
}

fn inherited_table(row: &Row) -> InheritedTable {
    InheritedTable {
        table_oid: column_or_default(row, "table_oid"),
        parent_oid: column_or_default(row, "parent_oid"),
    }
}

/// The columns that a sequence feeds; that which ends first comes first.
fn sequence_columns(row: &Row) -> Vec<SequenceColumn> {
    let table_oids: Vec<u32> = column_or_default(row, "column_table_oids");
    let names: Vec<String> = column_or_default(row, "column_names");
    let types: Vec<String> = column_or_default(row, "column_types");
    let domains: Vec<Option<String>> = column_or_default(row, "column_domains");
    let are_identities: Vec<bool> = column_or_default(row, "columns_are_identities");
    let named = table_oids.into_iter().zip(names).zip(types);
    named
        .zip(domains)
        .zip(are_identities)
        .map(
            |((((table_oid, name), type_name), domain), is_identity)| SequenceColumn {
                table_oid,
                name,
                type_name,
                domain,
                is_identity,
            },
        )
        .collect()
}

fn sequence(row: &Row) -> Sequence {
    let mut columns = sequence_columns(row).into_iter();
    let is_readable: bool = column_or_default(row, "is_readable");
    Sequence {
        oid: column_or_default(row, "oid"),
        schema: column_or_default(row, "schema"),
        name: column_or_default(row, "name"),
        type_name: column_or_default(row, "type_name"),
        last_value: None,
        is_readable,
        is_refused: !is_readable,
        least: column_or_default(row, "least"),
        greatest: column_or_default(row, "greatest"),
        increment: column::<i64>(row, "increment")
            .filter(|step| *step != 0)
            .unwrap_or(1),
        cycles: column_or_default(row, "cycles"),
        column: columns.next(),
        other_columns: columns.collect(),
    }
}

/// What the login lacks, where it may not read how far sequences are that could end; nothing where it may.
pub fn refused_sequences(schema: &Schema, database: &str, login: &str) -> Option<Gap> {
    let refused = schema
        .sequences
        .iter()
        .filter(|sequence| sequence.is_refused && !sequence.cycles);
    let schemas: BTreeSet<&str> = refused.clone().map(|sequence| sequence.schema.as_str()).collect();
    let one = refused.clone().next()?;
    let quoted: Vec<String> = schemas.into_iter().map(quote_identifier).collect();
    Some(Gap {
        fact: "sequences".to_owned(),
        database: Some(database.to_owned()),
        why: format!(
            "the login {login} may not read the last value of {}, as {}.{}",
            plural(refused.count(), "sequence", "sequences"),
            one.schema,
            one.name
        ),
        remedy_sql: Some(format!(
            "GRANT SELECT ON ALL SEQUENCES IN SCHEMA {} TO {}",
            quoted.join(", "),
            quote_identifier(login)
        )),
        missing_privilege: Some(format!("SELECT on sequences of database {database}")),
        rules: vec![
            "schema.int_key_overflow".to_owned(),
            "schema.sequence_exhaustion".to_owned(),
        ],
    })
}

/// Reads where sequences stand: those of narrow types first, a few in each transaction. What was not asked is not known.
async fn read_values(
    session: &Observe,
    version_num: i32,
    sequences: &mut [Sequence],
) -> Result<(), PostgresError> {
    let width = |sequence: &Sequence| {
        let of_column = sequence.column.as_ref().map(|column| column.type_name.as_str());
        [Some(sequence.type_name.as_str()), of_column].contains(&Some("bigint"))
    };
    let mut asked: Vec<(bool, u32)> = sequences
        .iter()
        .filter(|sequence| sequence.is_readable)
        .map(|sequence| (width(sequence), sequence.oid))
        .collect();
    asked.sort_unstable();
    asked.truncate(limits::SEQUENCES_PER_LOOK);
    let mut values: HashMap<u32, Option<i64>> = HashMap::new();
    for chunk in asked.chunks(limits::SEQUENCES_AT_ONCE) {
        let oids: Vec<u32> = chunk.iter().map(|(_, oid)| *oid).collect();
        let query = queries::SEQUENCE_VALUES.on(version_num);
        match session.rows(query, &[(&oids, Type::OID_ARRAY)]).await {
            Ok(rows) => values.extend(
                rows.iter()
                    .filter_map(|row| Some((column(row, "oid")?, column(row, "last_value")))),
            ),
            // one that was dropped or is locked just now must not lose the others
            Err(error) if !error.is_fatal() => {}
            Err(error) => return Err(error),
        }
    }
    for sequence in sequences.iter_mut().filter(|sequence| sequence.is_readable) {
        match values.get(&sequence.oid) {
            Some(value) => sequence.last_value = *value,
            None => sequence.is_readable = false,
        }
    }
    Ok(())
}

/// Reads how tables were read and written.
///
/// # Errors
/// If the server refuses or does not answer.
pub async fn table_activity(
    session: &Observe,
    version_num: i32,
    at: DateTime<Utc>,
) -> Result<TableActivityLook, PostgresError> {
    let query = queries::TABLE_ACTIVITY.on(version_num);
    let arrays = session
        .arrays(query, None, limits::RELATIONS_PER_DATABASE)
        .await?;
    let mut oids = arrays.values(0)?;
    let (mut sequential_scans, mut sequential_rows_read) = (arrays.values(1)?, arrays.values(2)?);
    let (mut inserted, mut updated, mut hot_updated) =
        (arrays.values(3)?, arrays.values(4)?, arrays.values(5)?);
    let (mut deleted, mut modified_since_analyze) = (arrays.values(6)?, arrays.values(7)?);
    let (mut last_analyzes_at, mut new_page_updated) = (arrays.values(8)?, arrays.values(9)?);
    let mut last_sequential_scans_at = arrays.values(10)?;
    let table = || {
        Some(TableActivityCounters {
            oid: oids.next()?,
            sequential_scans: sequential_scans.next()?,
            sequential_rows_read: sequential_rows_read.next()?,
            inserted: inserted.next()?,
            updated: updated.next()?,
            hot_updated: hot_updated.next()?,
            deleted: deleted.next()?,
            modified_since_analyze: modified_since_analyze.next()?,
            last_analyze_at: last_analyzes_at.next()?,
            new_page_updated: new_page_updated.next()?,
            last_sequential_scan_at: last_sequential_scans_at.next()?,
        })
    };
    let mut tables: Vec<TableActivityCounters> = std::iter::from_fn(table).collect();
    tables.sort_unstable_by_key(|table| table.oid);
    Ok(TableActivityLook { at, tables })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_need_a_wider_type_is_asked_for_with_what_refers_to_it() {
        let sequence = |table_oid: u32, type_name: &str, last_value: i64| Sequence {
            last_value: Some(last_value),
            increment: 1,
            least: 1,
            greatest: i64::MAX,
            column: Some(SequenceColumn {
                table_oid,
                type_name: type_name.into(),
                ..SequenceColumn::default()
            }),
            ..Sequence::default()
        };
        let key = |table_oid: u32, referenced_oid: u32, types: [&str; 2]| ForeignKey {
            table_oid,
            referenced_oid,
            types: vec![types[0].into()],
            referenced_types: vec![types[1].into()],
            ..ForeignKey::default()
        };
        let same = ["integer", "integer"];
        let sequences = [
            sequence(1, "integer", 600_000_000),
            sequence(2, "integer", 500_000_000),
            sequence(3, "bigint", i64::MAX),
        ];
        let keys = [
            key(5, 4, same),
            key(4, 1, same),
            key(6, 2, same),
            key(7, 2, ["integer", "bigint"]),
        ];
        assert_eq!(to_widen(&sequences, &keys), [1, 4, 5, 7]);
        assert!(to_widen(&sequences[1..], &keys[..3]).is_empty());
        let mut shared = sequence(1, "integer", 600_000_000);
        let others = [(8, "integer"), (9, "bigint")];
        let others = others.map(|(oid, type_name)| sequence(oid, type_name, 0).column);
        shared.other_columns = others.into_iter().flatten().collect();
        assert_eq!(to_widen(&[shared], &[key(5, 8, same)]), [1, 8, 5]);
        let many: Vec<ForeignKey> = (10..1_000).map(|oid| key(oid, 1, same)).collect();
        assert_eq!(to_widen(&sequences, &many).len(), limits::TABLES_TO_WIDEN);
    }

    #[test]
    fn sequences_that_may_not_be_read_are_a_gap_with_its_grant() {
        let sequence = |schema: &str, is_refused: bool, cycles: bool| Sequence {
            schema: schema.into(),
            name: "s".into(),
            is_readable: false,
            is_refused,
            cycles,
            ..Sequence::default()
        };
        let gap = |sequences: Vec<Sequence>| {
            let schema = Schema {
                sequences,
                ..Schema::default()
            };
            refused_sequences(&schema, "shop", "The advisor")
        };
        let others = vec![
            // one that was locked just now, and one that never ends
            sequence("public", false, false),
            sequence("public", true, true),
        ];
        assert_eq!(gap(others), None);
        let refused = vec![
            sequence("public", true, false),
            sequence("App", true, false),
            sequence("public", true, false),
        ];
        let one = gap(vec![sequence("public", true, false)]).unwrap();
        let gap = gap(refused).unwrap();
        assert_eq!(
            gap.remedy_sql.as_deref(),
            Some("GRANT SELECT ON ALL SEQUENCES IN SCHEMA \"App\", public TO \"The advisor\"")
        );
        assert!(gap.why.contains("of 3 sequences, as public.s"), "{}", gap.why);
        assert!(one.why.contains("of 1 sequence, as public.s"), "{}", one.why);
        assert_eq!(
            gap.missing_privilege.as_deref(),
            Some("SELECT on sequences of database shop")
        );
    }
}
