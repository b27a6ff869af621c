//! pg_stat_statements: counters every time, texts only of statements that were not seen before.

use std::sync::Arc;
use std::time::Instant;

use super::Notes;
use super::texts::TextCache;
use super::unread::Unread;
use crate::limits;
use crate::model::remedy::Statement;
use crate::model::snapshot::{ServerFacts, StatementCounters, StatementKey, Statements};
use crate::model::status::Gap;
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
            notes.look("statement texts", None, started, 0, Some(error.one_line()));
            cache.failed(Unread::of(home, &error, &name, version_num, &statements.entries).await?);
        }
    }
    statements.schema = name;
    statements.texts = cache.texts();
    if let Some(unread) = cache.unread() {
        // what has no text is known to be hidden, and the rules heed that
        let some_are_known = !statements.texts.is_empty();
        notes.gaps.push(unread.gap(some_are_known, of_statements()));
    }
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
        let why = format!(
            "the extension pg_stat_statements is not installed in the database that the advisor connects to. {}",
            besides_extension(facts)
        );
        notes.gap("pg_stat_statements", None, why, Some(create)).rules = of_statements();
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

const LIBRARIES: &str = "shared_preload_libraries";

/// What it takes beside the extension.
fn besides_extension(facts: &ServerFacts) -> String {
    match (facts.provider(), facts.loads_statements_library()) {
        (Some(provider), _) => provider.how_to_create("pg_stat_statements"),
        (None, Some(true)) => "Its library is loaded already".to_owned(),
        (None, Some(false)) => format!("It also needs {LIBRARIES} = 'pg_stat_statements' and a restart"),
        (None, None) => format!(
            "If it is not loaded yet it also needs {LIBRARIES} = 'pg_stat_statements' and a restart: members of \
             pg_read_all_settings see whether it is"
        ),
    }
}

/// What loads the library, in words and, where one is enough, as a statement.
fn how_to_load(facts: &ServerFacts) -> (String, Option<String>) {
    let setting = facts.settings.get(LIBRARIES);
    let before = setting.map_or("", |setting| setting.value.trim());
    let list = match before {
        "" => "pg_stat_statements".to_owned(),
        before => format!("{before},pg_stat_statements"),
    };
    let is_default = setting.is_some_and(|setting| setting.source == "default");
    match facts.provider() {
        Some(provider) => (provider.how_to_set(LIBRARIES, &list, "postmaster"), None),
        None if before.is_empty() && is_default => {
            let set = Statement::AlterSystemSet {
                name: LIBRARIES.to_owned(),
                value: list,
            };
            (
                "It counts after a restart of the server".to_owned(),
                Some(set.sql()),
            )
        }
        // ALTER SYSTEM would take a list in one constant for one name, and the server would not start any more
        None if setting.is_some() => (
            format!("Write {LIBRARIES} = '{list}' where it is set now and restart the server"),
            None,
        ),
        None => (
            format!("Add pg_stat_statements to {LIBRARIES} and restart the server"),
            None,
        ),
    }
}

/// That the extension is there, and what counts for it is not.
fn not_loaded(facts: &ServerFacts) -> Gap {
    let (way, remedy_sql) = how_to_load(facts);
    Gap {
        fact: "pg_stat_statements".to_owned(),
        database: None,
        why: format!(
            "the extension pg_stat_statements is installed, but its library is not loaded, so that nothing is counted. {way}"
        ),
        remedy_sql,
        missing_privilege: None,
        rules: of_statements(),
    }
}

/// Why the counters could not be read, and what mends it.
fn unreadable(error: &PostgresError, facts: &ServerFacts, schema: &Identifier) -> Gap {
    if error.is_about_a_prerequisite() {
        return not_loaded(facts);
    }
    let grant = Statement::GrantRole {
        role: "pg_read_all_stats",
        to: facts.login.clone(),
    }
    .sql();
    let privilege = error.is_privilege();
    let usage = schema.grant_usage_to(&facts.login);
    Gap {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::Setting;

    fn server(settings: &[(&str, &str, &str)]) -> ServerFacts {
        let setting = |(name, value, source): &(&str, &str, &str)| {
            let setting = Setting {
                value: (*value).to_owned(),
                source: (*source).to_owned(),
                ..Setting::default()
            };
            ((*name).to_owned(), setting)
        };
        ServerFacts {
            settings: settings.iter().map(setting).collect(),
            ..ServerFacts::default()
        }
    }

    #[test]
    fn a_library_that_is_loaded_is_not_asked_for() {
        let told = |settings: &[(&str, &str, &str)]| besides_extension(&server(settings));
        let file = "configuration file";
        assert!(told(&[(LIBRARIES, "a, pg_stat_statements", file)]).contains("loaded already"));
        assert!(told(&[("pg_stat_statements.track", "top", "default")]).contains("loaded already"));
        assert!(told(&[(LIBRARIES, "a", file)]).starts_with("It also needs"));
        assert!(told(&[]).starts_with("If it is not loaded yet"));
        assert!(told(&[("cloudsql.x", "", "default")]).contains("Cloud SQL"));
    }

    #[test]
    fn an_extension_without_its_library_is_told_what_loads_it() {
        let default = not_loaded(&server(&[(LIBRARIES, "", "default")]));
        let sql = "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'";
        assert_eq!(default.remedy_sql.as_deref(), Some(sql));
        assert!(
            default.why.contains("is not loaded") && default.why.contains("restart"),
            "{}",
            default.why
        );
        let beside = not_loaded(&server(&[(LIBRARIES, "pgaudit", "configuration file")]));
        assert_eq!(beside.remedy_sql, None, "no list in one constant");
        assert!(
            beside.why.contains("= 'pgaudit,pg_stat_statements'"),
            "{}",
            beside.why
        );
        assert!(not_loaded(&server(&[])).why.contains("Add pg_stat_statements to"));
    }
}
