//! The server as a whole: version, clock, resets, settings, databases, who holds old row versions, our own rights.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::{Notes, column};
use crate::model::remedy::Statement;
use crate::model::snapshot::{DatabaseFacts, ServerFacts, Setting, XminHolder};
use crate::postgres::{Observe, OurSql, PostgresError, queries};

/// Names of roles change seldom.
const ROLES_EVERY: Duration = Duration::from_secs(600);

/// Reads all of it. The time is the server's own.
///
/// # Errors
/// If the first questions fail: then nothing can be said of the server.
pub async fn look(
    home: &Observe,
    name: &str,
    roles: &mut Option<(Instant, HashMap<u32, String>)>,
    notes: &mut Notes,
) -> Result<(DateTime<Utc>, ServerFacts), PostgresError> {
    let rows = home.rows(queries::SERVER.on(0), &[]).await?;
    let row = rows.first();
    let version_num = row.and_then(|row| column(row, "version_num")).unwrap_or(0);
    let at = row.and_then(|row| column(row, "at")).unwrap_or_else(Utc::now);
    let mut facts = ServerFacts {
        name: name.to_owned(),
        version_num,
        system_identifier: optional(
            home,
            queries::SYSTEM_IDENTIFIER.on(version_num),
            "system identifier",
            notes,
        )
        .await?
        .first()
        .and_then(|row| column(row, "system_identifier")),
        started_at: row.and_then(|row| column(row, "started_at")).unwrap_or(at),
        is_standby: row.and_then(|row| column(row, "is_standby")).unwrap_or(false),
        standbys: row.and_then(|row| column(row, "standbys")).unwrap_or(0),
        shared_statistics_reset_at: row.and_then(|row| column(row, "shared_statistics_reset_at")),
        next_transaction_id: row.and_then(|row| column(row, "next_transaction_id")),
        login: row.and_then(|row| column(row, "login")).unwrap_or_default(),
        ..ServerFacts::default()
    };
    for row in optional(home, queries::SETTINGS.on(version_num), "settings", notes).await? {
        let setting = Setting {
            value: column(&row, "setting").unwrap_or_default(),
            unit: column(&row, "unit"),
            source: column(&row, "source").unwrap_or_default(),
        };
        facts
            .settings
            .insert(column(&row, "name").unwrap_or_default(), setting);
    }
    for row in home.rows(queries::DATABASES.on(version_num), &[]).await? {
        facts.databases.push(DatabaseFacts {
            oid: column(&row, "oid").unwrap_or(0),
            name: column(&row, "name").unwrap_or_default(),
            allows_connections: column(&row, "allows_connections").unwrap_or(false),
            may_connect: column(&row, "may_connect").unwrap_or(true),
            is_template: column(&row, "is_template").unwrap_or(false),
            frozen_xid_age: column(&row, "frozen_xid_age").unwrap_or(0),
            statistics_reset_at: column(&row, "statistics_reset_at"),
        });
    }
    let holders = queries::XMIN_HOLDERS.on(version_num);
    for row in optional(home, holders, "who holds old row versions back", notes).await? {
        facts.xmin_holders.push(XminHolder {
            kind: column(&row, "kind").unwrap_or_default(),
            name: column(&row, "name").unwrap_or_default(),
            database: column(&row, "database"),
            age: column(&row, "age").unwrap_or(0),
            since: column(&row, "since"),
            catalogs_only: column(&row, "catalogs_only").unwrap_or(false),
        });
    }
    facts.roles = role_names(home, version_num, roles, notes).await?;
    privileges(home, &mut facts, notes).await?;
    Ok((at, facts))
}

/// Rows of a question that may be refused: hardened servers take rights away from everybody. Then it is a gap.
async fn optional(
    home: &Observe,
    query: OurSql,
    fact: &str,
    notes: &mut Notes,
) -> Result<Vec<Row>, PostgresError> {
    match home.rows(query, &[]).await {
        Err(error) if !error.is_fatal() => {
            notes.gap(fact, None, error.one_line(), None);
            Ok(Vec::new())
        }
        rows => rows,
    }
}

async fn role_names(
    home: &Observe,
    version_num: i32,
    cache: &mut Option<(Instant, HashMap<u32, String>)>,
    notes: &mut Notes,
) -> Result<HashMap<u32, String>, PostgresError> {
    if let Some((read_at, roles)) = cache
        && read_at.elapsed() < ROLES_EVERY
    {
        return Ok(roles.clone());
    }
    let rows = optional(home, queries::ROLES.on(version_num), "role names", notes).await?;
    let roles: HashMap<u32, String> = rows
        .iter()
        .filter_map(|row| Some((column(row, "oid")?, column(row, "name")?)))
        .collect();
    *cache = Some((Instant::now(), roles.clone()));
    Ok(roles)
}

/// Each right that the observer should have and has not is a gap with its GRANT.
async fn privileges(home: &Observe, facts: &mut ServerFacts, notes: &mut Notes) -> Result<(), PostgresError> {
    let rows = optional(
        home,
        queries::PRIVILEGES.on(facts.version_num),
        "privileges",
        notes,
    )
    .await?;
    let Some(row) = rows.first() else { return Ok(()) };
    facts.login_is_superuser = column(row, "is_superuser").unwrap_or(false);
    facts.sees_all_sessions = column(row, "may_read_all_stats").unwrap_or(false);
    let wanted = [
        (
            "may_read_all_stats",
            "pg_read_all_stats",
            "statements and sessions of other roles",
            vec!["query.*"],
        ),
        (
            "may_read_all_settings",
            "pg_read_all_settings",
            "settings that only superusers see",
            vec!["config.*"],
        ),
    ];
    for (flag, role, fact, rules) in wanted {
        if column(row, flag).unwrap_or(true) {
            continue;
        }
        let grant = Statement::GrantRole {
            role,
            to: facts.login.clone(),
        }
        .sql();
        let why = format!("the login {} is no member of {role}", facts.login);
        let gap = notes.gap(fact, None, why, Some(grant));
        gap.missing_privilege = Some(format!("membership in {role}"));
        gap.rules = rules.into_iter().map(str::to_owned).collect();
    }
    Ok(())
}
