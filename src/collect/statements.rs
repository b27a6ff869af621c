//! pg_stat_statements: counters every time, texts only of statements that were not seen before.

use std::sync::Arc;
use std::time::Instant;

use super::Notes;
use super::texts::TextCache;
use crate::limits;
use crate::model::remedy::{Statement, qualified};
use crate::model::snapshot::{ServerFacts, StatementCounters, StatementKey, Statements};
use crate::postgres::{Arrays, Identifier, Observe, PostgresError, column, queries};

/// Reads counters, and the texts that are new.
///
/// # Errors
/// Only if the session is lost; everything else is a gap.
pub async fn look(
    home: &Observe,
    facts: &ServerFacts,
    cache: &mut TextCache,
    notes: &mut Notes,
) -> Result<Option<Statements>, PostgresError> {
    let started = Instant::now();
    let Some((name, version_num)) = extension(home, facts, notes).await? else {
        return Ok(None);
    };
    let schema = Identifier::new(name.as_str());
    let read = counters(home, &schema, version_num, facts).await;
    let mut statements = match read {
        Ok(statements) => statements,
        Err(error) if error.is_fatal() => return Err(error),
        Err(error) => {
            notes.look("statements", None, started, 0, Some(error.one_line()));
            notes.gaps.push(unreadable(&error, facts, &schema));
            return Ok(None);
        }
    };
    notes.look("statements", None, started, statements.entries.len(), None);
    if statements.entries.len() >= limits::STATEMENTS_PER_SNAPSHOT {
        let limit = limits::STATEMENTS_PER_SNAPSHOT;
        let why = format!(
            "pg_stat_statements holds more than the {limit} entries that are read; lower pg_stat_statements.max"
        );
        notes.gap("pg_stat_statements", None, why, None).rules = of_statements();
    }
    let started = Instant::now();
    match cache.fetch(home, &schema, version_num, &statements).await {
        Ok(0) => {}
        Ok(rows) => notes.look("statement texts", None, started, rows, None),
        Err(error) if error.is_fatal() => return Err(error),
        Err(error) => {
            cache.failed();
            notes.look("statement texts", None, started, 0, Some(error.one_line()));
        }
    }
    if cache.has_failed() {
        let why =
            "the texts of statements cannot be read; one of them holds bytes that its database's encoding \
                   does not know. Counters are read all the same"
                .to_owned();
        let gap = notes.gap(
            "statement texts",
            None,
            why,
            Some(format!(
                "SELECT {}()",
                qualified(&name, "pg_stat_statements_reset")
            )),
        );
        gap.rules = of_statements();
    }
    statements.schema = name;
    statements.texts = cache.texts();
    Ok(Some(statements))
}

/// The rules that cannot be judged without statements.
fn of_statements() -> Vec<String> {
    vec!["query.*".to_owned(), "index.missing".to_owned()]
}

/// The schema of the extension, and the version whose columns it has.
async fn extension(
    home: &Observe,
    facts: &ServerFacts,
    notes: &mut Notes,
) -> Result<Option<(String, i32)>, PostgresError> {
    let rows = home.rows(queries::EXTENSION.on(facts.version_num), &[]).await?;
    let Some(row) = rows.first() else {
        let create = Statement::CreateExtension {
            name: "pg_stat_statements",
        }
        .sql();
        let why = "the extension pg_stat_statements is not installed in the database that the advisor connects to; it \
                   also needs shared_preload_libraries = 'pg_stat_statements' and a restart";
        notes
            .gap("pg_stat_statements", None, why.to_owned(), Some(create))
            .rules = of_statements();
        return Ok(None);
    };
    let schema: String = column(row, "schema").unwrap_or_default();
    let version: String = column(row, "version").unwrap_or_default();
    let minor = version
        .split('.')
        .nth(1)
        .and_then(|part| part.parse::<u32>().ok())
        .unwrap_or(0);
    if minor < 9 {
        let why = format!("pg_stat_statements {version} is older than 1.9, which PostgreSQL 14 brought");
        let update = "ALTER EXTENSION pg_stat_statements UPDATE".to_owned();
        notes.gap("pg_stat_statements", None, why, Some(update)).rules = of_statements();
        return Ok(None);
    }
    Ok(Some((schema, if minor >= 11 { 170_000 } else { 140_000 })))
}

/// Why the counters could not be read, and what mends it.
fn unreadable(error: &PostgresError, facts: &ServerFacts, schema: &Identifier) -> crate::model::status::Gap {
    let grant = Statement::GrantRole {
        role: "pg_read_all_stats",
        to: facts.login.clone(),
    }
    .sql();
    let privilege = error.is_privilege();
    let usage = schema.grant_usage_to(&facts.login);
    crate::model::status::Gap {
        fact: "pg_stat_statements".to_owned(),
        database: None,
        why: error.one_line(),
        remedy_sql: privilege.then(|| format!("{grant}; {usage}")),
        missing_privilege: privilege.then(|| "USAGE on the schema of pg_stat_statements".to_owned()),
        rules: of_statements(),
    }
}

async fn counters(
    home: &Observe,
    schema: &Identifier,
    version_num: i32,
    facts: &ServerFacts,
) -> Result<Statements, PostgresError> {
    let info = home
        .rows_in_schema(queries::STATEMENTS_INFO.on(facts.version_num), schema, &[])
        .await?;
    let query = queries::STATEMENTS.on(version_num);
    let arrays = home
        .arrays(query, Some(schema), limits::STATEMENTS_PER_SNAPSHOT)
        .await?;
    let mut entries = entries(&arrays)?;
    entries.sort_unstable_by_key(|entry| entry.key);
    Ok(Statements {
        reset_at: info.first().and_then(|row| column(row, "reset_at")),
        evictions: info.first().and_then(|row| column(row, "evictions")).unwrap_or(0),
        entries: Arc::new(entries),
        ..Statements::default()
    })
}

fn entries(arrays: &Arrays) -> Result<Vec<StatementCounters>, PostgresError> {
    let (mut user_oids, mut database_oids, mut queryids) =
        (arrays.values(0)?, arrays.values(1)?, arrays.values(2)?);
    let (mut calls, mut execution_ms, mut stddev_ms) =
        (arrays.values(3)?, arrays.values(4)?, arrays.values(5)?);
    let (mut max_ms, mut planning_ms, mut rows) = (arrays.values(6)?, arrays.values(7)?, arrays.values(8)?);
    let (mut shared_blocks_hit, mut shared_blocks_read) = (arrays.values(9)?, arrays.values(10)?);
    let (mut temp_blocks_written, mut since) = (arrays.values(11)?, arrays.values(12)?);
    let entry = || {
        Some(StatementCounters {
            key: StatementKey {
                user_oid: user_oids.next()?,
                database_oid: database_oids.next()?,
                queryid: queryids.next()?,
            },
            calls: calls.next()?,
            execution_ms: execution_ms.next()?,
            stddev_ms: stddev_ms.next()?,
            max_ms: max_ms.next()?,
            planning_ms: planning_ms.next()?,
            rows: rows.next()?,
            shared_blocks_hit: shared_blocks_hit.next()?,
            shared_blocks_read: shared_blocks_read.next()?,
            temp_blocks_written: temp_blocks_written.next()?,
            since: since.next()?,
        })
    };
    Ok(std::iter::from_fn(entry).collect())
}
