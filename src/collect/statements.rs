//! pg_stat_statements: counters every time, texts only of statements that were not seen before.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::Notes;
use crate::limits;
use crate::model::remedy::{Statement, qualified};
use crate::model::snapshot::{
    ServerFacts, StatementCounters, StatementKey, StatementKind, StatementText, Statements,
};
use crate::postgres::{Arrays, Identifier, Observe, PostgresError, column, queries};
use crate::sql;

/// Texts by queryid, as far as they were ever read and are still in use.
#[derive(Default)]
pub struct TextCache {
    texts: Arc<HashMap<i64, Arc<StatementText>>>,
    /// Those of which only the beginning is kept.
    cut: HashSet<i64>,
    /// Those that the server does not have, since when: to ask for them makes it read its whole text file.
    lost: HashMap<i64, Instant>,
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
        notes.gap("pg_stat_statements", None, why, None).rules = of_statements();
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
        gap.rules = of_statements();
    }
    statements.schema = name;
    statements.texts = cache.texts.clone();
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
    let costliest = Arc::new(costliest(statements));
    let missing = cache.missing(statements, &costliest);
    cache.forget_but(statements);
    if missing.is_empty() {
        return Ok(0);
    }
    let limit = limits::STATEMENT_TEXT_CHARACTERS_PER_LOOK as i64;
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&missing, Type::INT8_ARRAY), (&limit, Type::INT8)];
    let (sender, receiver) = mpsc::channel(TEXTS_UNDER_WAY);
    let identifying = identify(receiver, costliest);
    let query = queries::STATEMENT_TEXTS.on(version_num);
    let sent = home.send_rows(query, schema, &parameters, sender).await;
    let identified = identifying.await;
    sent?;
    cache.failed_at = None;
    let read: usize = identified.iter().map(|text| text.characters).sum();
    let count = identified.len();
    let texts = Arc::make_mut(&mut cache.texts);
    for text in identified {
        match text.is_cut {
            true => cache.cut.insert(text.queryid),
            false => cache.cut.remove(&text.queryid),
        };
        texts.insert(text.queryid, Arc::new(text.text));
    }
    // an answer with room for one more text was not cut: what is left was evicted just now, or lost by the server
    if read + limits::STATEMENT_PARSE_BYTES < limits::STATEMENT_TEXT_CHARACTERS_PER_LOOK {
        let lost = missing.iter().filter(|queryid| !texts.contains_key(queryid));
        cache.lost.extend(lost.map(|queryid| (*queryid, Instant::now())));
    }
    Ok(count)
}

impl TextCache {
    /// Statements whose text is to be fetched.
    fn missing(&mut self, statements: &Statements, costliest: &HashSet<i64>) -> Vec<i64> {
        self.lost.retain(|_, since| since.elapsed() < RETRY_TEXTS_AFTER);
        let is_missing = |queryid: &i64| match self.texts.contains_key(queryid) {
            false => !self.lost.contains_key(queryid),
            true => self.cut.contains(queryid) && costliest.contains(queryid),
        };
        let queryids = statements.entries.iter().map(|entry| entry.key.queryid);
        let mut missing: Vec<i64> = queryids.filter(is_missing).collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// Forgets what is gone, once that is much.
    fn forget_but(&mut self, statements: &Statements) {
        if self.texts.len() <= 2 * statements.entries.len() + 1000 {
            return;
        }
        let queryids = statements.entries.iter().map(|entry| entry.key.queryid);
        let used: HashSet<i64> = queryids.collect();
        Arc::make_mut(&mut self.texts).retain(|queryid, _| used.contains(queryid));
        self.cut.retain(|queryid| used.contains(queryid));
        self.lost.retain(|queryid, _| used.contains(queryid));
    }
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

/// Texts that were received and not yet read by our parser: more would only take memory.
const TEXTS_UNDER_WAY: usize = 64;
/// Threads that read texts: one core is left for whoever else lives here.
const TEXT_READERS: usize = 2;

/// A text that was read by our parser.
struct Identified {
    queryid: i64,
    text: StatementText,
    /// Only its beginning is kept.
    is_cut: bool,
    /// As it came from the server, in bytes.
    characters: usize,
}

impl Identified {
    fn of(row: &Row, costliest: &HashSet<i64>) -> Option<Self> {
        let (queryid, whole): (i64, String) = (column(row, "queryid")?, column(row, "text")?);
        let mut text = sql::identify(&whole);
        if text.kind == StatementKind::Query
            && let Some(plain) = sql::without_constants(&whole).filter(|plain| *plain != whole)
        {
            // the identity does not know constants
            text.text = sql::cut(&plain, limits::STATEMENT_TEXT_BYTES).to_owned();
        }
        let is_cut = text.text.len() > limits::STATEMENT_BEGINNING_BYTES && !costliest.contains(&queryid);
        if is_cut {
            // in one piece: a string that grows takes twice its size
            text.text = [sql::cut(&text.text, limits::STATEMENT_BEGINNING_BYTES), "…"].concat();
        }
        Some(Self {
            queryid,
            text,
            is_cut,
            characters: whole.len(),
        })
    }
}

/// Parsing thousands of texts takes a moment: while the others still come, and not on a thread that serves pages.
fn identify(
    texts: mpsc::Receiver<Row>,
    costliest: Arc<HashSet<i64>>,
) -> impl Future<Output = Vec<Identified>> {
    let texts = Arc::new(Mutex::new(texts));
    let reader = || {
        let (texts, costliest) = (texts.clone(), costliest.clone());
        let next = move || texts.lock().ok()?.blocking_recv();
        tokio::task::spawn_blocking(move || -> Vec<Identified> {
            let rows = std::iter::from_fn(next);
            rows.filter_map(|row| Identified::of(&row, &costliest)).collect()
        })
    };
    let readers: Vec<_> = std::iter::repeat_with(reader).take(TEXT_READERS).collect();
    futures_util::future::join_all(readers).map(|read| read.into_iter().flatten().flatten().collect())
}
