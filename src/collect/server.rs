//! The server as a whole: version, clock, resets, settings, databases, who holds old row versions, our own rights.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::Notes;
use crate::limits;
use crate::model::remedy::Statement;
use crate::model::role_setting::RoleSetting;
use crate::model::snapshot::{Checkpoints, ServerFacts, Setting, XminHolder};
use crate::postgres::{Observe, OurSql, PostgresError, column, queries};

/// What changes seldom: names of roles, settings, which extensions there are.
#[derive(Default)]
pub struct Remembered {
    read_at: Option<(Instant, DateTime<Utc>)>,
    roles: HashMap<u32, String>,
    role_settings: Option<Vec<RoleSetting>>,
    /// What of roles was not read, or not all of it: told at each look until it is read again.
    untold: Vec<Untold>,
    service_extensions: BTreeSet<String>,
    offers_trigrams: Option<bool>,
    settings: BTreeMap<String, Setting>,
    checkpoints: Option<Checkpoints>,
}

/// What was not read, or not all of it, and why.
type Untold = (&'static str, String);

/// Reads all of it. The time is the server's own.
///
/// # Errors
/// If the first questions fail: then nothing can be said of the server.
pub async fn look(
    home: &Observe,
    name: &str,
    remembered: &mut Remembered,
    every: Duration,
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
        timeline: timeline(home, version_num).await?,
        started_at: row.and_then(|row| column(row, "started_at")).unwrap_or(at),
        is_standby: row.and_then(|row| column(row, "is_standby")).unwrap_or(false),
        standbys: row.and_then(|row| column(row, "standbys")).unwrap_or(0),
        shared_statistics_reset_at: row.and_then(|row| column(row, "shared_statistics_reset_at")),
        relations_counted_since: row.and_then(|row| column(row, "relations_counted_since")),
        next_transaction_id: row.and_then(|row| column(row, "next_transaction_id")),
        login: row.and_then(|row| column(row, "login")).unwrap_or_default(),
        databases: home.databases().await?,
        ..ServerFacts::default()
    };
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
    remembered.refresh(home, &facts, every, notes).await?;
    for (fact, why) in &remembered.untold {
        notes.gap(fact, None, why.clone(), None);
    }
    facts.roles.clone_from(&remembered.roles);
    facts.role_settings.clone_from(&remembered.role_settings);
    facts
        .service_extensions
        .clone_from(&remembered.service_extensions);
    facts.offers_trigrams = remembered.offers_trigrams;
    facts.settings.clone_from(&remembered.settings);
    facts.checkpoints.clone_from(&remembered.checkpoints);
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

/// Which history a primary writes. Some services do not tell: a failover has other signs, too, and no rule waits for this.
async fn timeline(home: &Observe, version_num: i32) -> Result<Option<i64>, PostgresError> {
    let rows = match home.rows(queries::TIMELINE.on(version_num), &[]).await {
        Err(error) if !error.is_fatal() => return Ok(None),
        rows => rows?,
    };
    let hexadecimal: Option<String> = rows.first().and_then(|row| column(row, "timeline"));
    Ok(hexadecimal.and_then(|digits| i64::from_str_radix(&digits, 16).ok()))
}

/// Names of roles; none where that is refused, and not all where there are too many.
async fn role_names(
    home: &Observe,
    version_num: i32,
    untold: &mut Vec<Untold>,
) -> Result<HashMap<u32, String>, PostgresError> {
    let name = |row: &Row| Some((column(row, "oid")?, column(row, "name")?));
    let limit = limits::ROLE_NAMES;
    let read = match home
        .bounded(queries::ROLES.on(version_num), (limit, 0), name)
        .await
    {
        Ok(read) => read,
        Err(error) if error.is_fatal() => return Err(error),
        Err(error) => {
            untold.push(("role names", error.one_line()));
            Vec::new()
        }
    };
    if read.len() >= limit {
        let why = format!(
            "there are {limit} roles and more: the names of those that were created last are not read, and what they run is told \
             without their names"
        );
        untold.push(("role names", why));
    }
    Ok(read.into_iter().flatten().collect())
}

/// work_mem of roles and databases; none where that is refused, or where there are too many.
async fn role_settings(
    home: &Observe,
    facts: &ServerFacts,
    roles: &HashMap<u32, String>,
    untold: &mut Vec<Untold>,
) -> Result<Option<Vec<RoleSetting>>, PostgresError> {
    let databases: HashMap<u32, &str> = facts
        .databases
        .iter()
        .map(|database| (database.oid, database.name.as_str()))
        .collect();
    let setting = |row: &Row| {
        // what has no name any more, or none that can be read, is nobody's
        let role: u32 = column(row, "role_oid")?;
        let database: u32 = column(row, "database_oid")?;
        Some(RoleSetting {
            role: match role {
                0 => None,
                oid => Some(roles.get(&oid)?.clone()),
            },
            database: match database {
                0 => None,
                oid => Some((*databases.get(&oid)?).to_owned()),
            },
            name: "work_mem".to_owned(),
            value: column(row, "work_mem")?,
        })
    };
    let query = queries::ROLE_SETTINGS.on(facts.version_num);
    let limit = limits::ROLE_SETTINGS;
    let why = match home.bounded(query, (limit, 0), setting).await {
        Ok(read) if read.len() < limit => {
            let is_whole = untold.is_empty() || read.iter().all(Option::is_some);
            if is_whole {
                return Ok(Some(read.into_iter().flatten().collect()));
            }
            "some are of roles whose names were not read".to_owned()
        }
        Ok(_) => format!("there are {limit} of them and more, which is more than are read"),
        Err(error) if error.is_fatal() => return Err(error),
        Err(error) => error.one_line(),
    };
    untold.push(("settings of roles", why));
    Ok(None)
}

/// The extension that rules advise; all others that are asked for are those by which services show themselves.
const TRIGRAMS: &str = "pg_trgm";

/// Extensions that could be created, of those that matter; none where that is refused. Then settings and roles must do to
/// know a managed service by, and no rule waits.
async fn available_extensions(
    home: &Observe,
    version_num: i32,
) -> Result<Option<BTreeSet<String>>, PostgresError> {
    let query = queries::AVAILABLE_EXTENSIONS.on(version_num);
    let rows = match home.rows(query, &[]).await {
        Err(error) if !error.is_fatal() => return Ok(None),
        rows => rows?,
    };
    Ok(Some(rows.iter().filter_map(|row| column(row, "name")).collect()))
}

impl Remembered {
    /// Reads again what is old, or was read before the server started anew. What was refused is asked for each time.
    async fn refresh(
        &mut self,
        home: &Observe,
        facts: &ServerFacts,
        every: Duration,
        notes: &mut Notes,
    ) -> Result<(), PostgresError> {
        let is_young = |(at, started_at): (Instant, DateTime<Utc>)| {
            at.elapsed() < every && started_at == facts.started_at
        };
        let is_whole = !self.roles.is_empty() && !self.settings.is_empty();
        if is_whole && self.read_at.is_some_and(is_young) {
            return Ok(());
        }
        let mut untold = Vec::new();
        self.roles = role_names(home, facts.version_num, &mut untold).await?;
        self.role_settings = role_settings(home, facts, &self.roles, &mut untold).await?;
        self.untold = untold;
        let mut available = available_extensions(home, facts.version_num).await?;
        self.offers_trigrams = available.as_mut().map(|names| names.remove(TRIGRAMS));
        self.service_extensions = available.unwrap_or_default();
        let rows = optional(home, queries::SETTINGS.on(facts.version_num), "settings", notes).await?;
        let setting = |row: &Row| {
            let value: Option<String> = column(row, "setting");
            let setting = Setting {
                is_unread: value.is_none(),
                value: value.unwrap_or_default(),
                unit: column(row, "unit"),
                source: column(row, "source").unwrap_or_default(),
                is_pending_restart: column(row, "pending_restart").unwrap_or(false),
                is_altered: column(row, "is_altered"),
                context: column(row, "context").unwrap_or_default(),
            };
            Some((column(row, "name")?, setting))
        };
        self.settings = rows.iter().filter_map(setting).collect();
        let query = queries::CHECKPOINTS.on(facts.version_num);
        let rows = optional(home, query, "checkpoints", notes).await?;
        let counted = |row: &Row| {
            Some(Checkpoints {
                timed: column(row, "timed")?,
                requested: column(row, "requested")?,
                blocks_written: column(row, "blocks_written")?,
                since: column(row, "since"),
                at: column(row, "at")?,
            })
        };
        self.checkpoints = rows.first().and_then(counted);
        self.read_at = Some((Instant::now(), facts.started_at));
        Ok(())
    }
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
            vec!["query.*", "index.missing"],
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
