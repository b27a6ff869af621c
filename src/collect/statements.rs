//! pg_stat_statements: counters every time, texts only of statements that were not seen before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use tokio_postgres::types::Type;

use super::{Notes, column};
use crate::limits;
use crate::model::remedy::{Statement, qualified};
use crate::model::snapshot::{ServerFacts, StatementCounters, StatementKey, StatementText, Statements};
use crate::postgres::{Identifier, Observe, PostgresError, queries};
use crate::sql;

/// Texts by queryid, as far as they were ever read and are still in use.
#[derive(Default)]
pub struct TextCache {
    texts: HashMap<i64, Arc<StatementText>>,
    /// Those of which only the beginning is kept.
    cut: HashSet<i64>,
    /// Set when reading texts failed, so that it is tried again only after a while.
    failed_at: Option<Instant>,
}

/// After a failure the texts are left alone for this long: the server would read its whole text file in vain.
const RETRY_TEXTS_AFTER: std::time::Duration = std::time::Duration::from_secs(600);

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
        notes.gap("pg_stat_statements", None, why, None).rules = vec!["query.*".to_owned()];
    }
    let started = Instant::now();
    match texts(home, &schema, version_num, &statements, cache).await {
        Ok(0) => {}
        Ok(rows) => notes.look("statement texts", None, started, rows, None),
        Err(error) if error.is_fatal() => return Err(error),
        Err(error) => {
            cache.failed_at = Some(Instant::now());
            notes.look("statement texts", None, started, 0, Some(error.one_line()));
        }
    }
    if cache.failed_at.is_some() {
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
        gap.rules = vec!["query.*".to_owned()];
    }
    statements.schema = name;
    statements.texts = cache.texts.clone();
    Ok(Some(statements))
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
            .rules = vec!["query.*".to_owned()];
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
        notes.gap("pg_stat_statements", None, why, Some(update)).rules = vec!["query.*".to_owned()];
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
        rules: vec!["query.*".to_owned()],
    }
}

async fn counters(
    home: &Observe,
    schema: &Identifier,
    version_num: i32,
    facts: &ServerFacts,
) -> Result<Statements, PostgresError> {
    let limit = limits::STATEMENTS_PER_SNAPSHOT as i64;
    let info = home
        .rows_in_schema(queries::STATEMENTS_INFO.on(facts.version_num), schema, &[])
        .await?;
    let rows = home
        .rows_in_schema(
            queries::STATEMENTS.on(version_num),
            schema,
            &[(&limit, Type::INT8)],
        )
        .await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in &rows {
        entries.push(StatementCounters {
            key: StatementKey {
                user_oid: row.get(0),
                database_oid: row.get(1),
                queryid: row.get(2),
            },
            calls: row.get(3),
            execution_ms: row.get(4),
            stddev_ms: row.get(5),
            rows: row.get(6),
            shared_blocks_hit: row.get(7),
            shared_blocks_read: row.get(8),
            temp_blocks_written: row.get(9),
            since: row.get(10),
        });
    }
    Ok(Statements {
        reset_at: info.first().and_then(|row| column(row, "reset_at")),
        evictions: info.first().and_then(|row| column(row, "evictions")).unwrap_or(0),
        entries,
        ..Statements::default()
    })
}

/// Fetches the texts of statements not seen before, and forgets those that are gone.
async fn texts(
    home: &Observe,
    schema: &Identifier,
    version_num: i32,
    statements: &Statements,
    cache: &mut TextCache,
) -> Result<usize, PostgresError> {
    if cache.failed_at.is_some_and(|at| at.elapsed() < RETRY_TEXTS_AFTER) {
        return Ok(0);
    }
    let costliest = costliest(statements);
    let is_wanted = |queryid: &i64| {
        !cache.texts.contains_key(queryid) || cache.cut.contains(queryid) && costliest.contains(queryid)
    };
    let mut missing: Vec<i64> = statements
        .entries
        .iter()
        .map(|entry| entry.key.queryid)
        .filter(is_wanted)
        .collect();
    missing.sort_unstable();
    missing.dedup();
    if cache.texts.len() > 2 * statements.entries.len() + 1000 {
        let used: std::collections::HashSet<i64> =
            statements.entries.iter().map(|entry| entry.key.queryid).collect();
        cache.texts.retain(|queryid, _| used.contains(queryid));
        cache.cut.retain(|queryid| used.contains(queryid));
    }
    let limit = limits::STATEMENT_TEXT_CHARACTERS_PER_ANSWER as i64;
    let mut count = 0;
    for _ in 0..limits::STATEMENT_TEXT_ANSWERS_PER_LOOK {
        if missing.is_empty() {
            break;
        }
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&missing, Type::INT8_ARRAY), (&limit, Type::INT8)];
        let rows = home
            .rows_in_schema(queries::STATEMENT_TEXTS.on(version_num), schema, &parameters)
            .await?;
        cache.failed_at = None;
        // an answer with room for one more text was not cut: what is left was evicted just now, or lost by the server
        let read: usize = rows
            .iter()
            .filter_map(|row| row.try_get::<_, &str>("text").ok())
            .map(str::len)
            .sum();
        let is_whole = read + limits::STATEMENT_PARSE_BYTES < limits::STATEMENT_TEXT_CHARACTERS_PER_ANSWER;
        let identified = identify(rows).await;
        count += identified.len();
        let read: HashSet<i64> = identified.iter().map(|(queryid, _)| *queryid).collect();
        missing.retain(|queryid| !read.contains(queryid));
        for (queryid, mut text) in identified {
            let is_long = text.text.len() > limits::STATEMENT_BEGINNING_BYTES;
            match is_long && !costliest.contains(&queryid) {
                true => {
                    text.text = sql::cut(&text.text, limits::STATEMENT_BEGINNING_BYTES).to_owned() + "…";
                    cache.cut.insert(queryid);
                }
                false => _ = cache.cut.remove(&queryid),
            }
            cache.texts.insert(queryid, Arc::new(text));
        }
        if is_whole {
            break;
        }
    }
    Ok(count)
}

/// The statements that took most time: only of these the whole text is kept, since only these are told of.
fn costliest(statements: &Statements) -> HashSet<i64> {
    let mut entries: Vec<&StatementCounters> = statements.entries.iter().collect();
    let count = limits::WHOLE_STATEMENTS.min(entries.len());
    if count < entries.len() {
        entries.select_nth_unstable_by(count, |a, b| b.execution_ms.total_cmp(&a.execution_ms));
    }
    entries[..count].iter().map(|entry| entry.key.queryid).collect()
}

/// Parsing thousands of texts takes a moment: not on a thread that serves pages.
async fn identify(rows: Vec<tokio_postgres::Row>) -> Vec<(i64, StatementText)> {
    let text = |row: tokio_postgres::Row| {
        let text: String = column(&row, "text")?;
        Some((column(&row, "queryid")?, sql::identify(&text)))
    };
    tokio::task::spawn_blocking(move || rows.into_iter().filter_map(text).collect())
        .await
        .unwrap_or_default()
}
