//! One look at one server: every family of `queries/` that is due, each with its own failure. What cannot be read
//! becomes a [`Gap`]; only a server that cannot be reached at all is an error.

mod catalog;
mod column_statistics;
mod design;
pub mod mask;
mod materialized_views;
mod relations;
mod replication;
pub mod samples;
mod server;
mod sessions;
mod statements;
mod texts;
mod unread;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

use crate::limits;
use crate::model::catalog::Catalog;
use crate::model::remedy::Statement;
use crate::model::schema::Schema;
use crate::model::snapshot::{
    DatabaseSnapshot, Declared, MaterializedViewFacts, ServerFacts, Snapshot, TableActivityLook,
};
use crate::model::status::{Gap, Look};
use crate::postgres::{Observe, PostgresError, Server};

use catalog::CatalogCache;
use column_statistics::LastRead;
use materialized_views::DefinitionCache;
use texts::TextCache;

/// Looks at one server again and again, and remembers what need not be read twice: texts, names, definitions.
pub struct Collector {
    name: String,
    server: Server,
    watches: Box<dyn Fn(&str) -> bool + Send + Sync>,
    catalog_every: std::time::Duration,
    /// The same for names, definitions and designs while the advisor is over its budget.
    names_every: std::time::Duration,
    texts: TextCache,
    catalogs: HashMap<String, CatalogCache>,
    definitions: HashMap<String, DefinitionCache>,
    designs: HashMap<String, Design>,
    /// Who reads column statistics; nobody where no rule wants them.
    statistics_server: Option<Server>,
    statistics: HashMap<String, LastRead>,
    /// The OID of each database when it was seen last.
    database_oids: HashMap<String, u32>,
    /// When the server had started that was seen last, and whether it was a standby.
    server_seen: Option<(DateTime<Utc>, bool)>,
    declared: Declared,
    /// The rules that a comment in a session's statement may name.
    rules: Vec<&'static str>,
    /// Sessions that idle in a transaction for so long are asked for the tables that they have locked.
    held_locks_after: std::time::Duration,
    remembered: server::Remembered,
    /// Our own clock, which nobody can set.
    clock: (DateTime<Utc>, Instant),
}

/// What one look came to: what was seen, and what each part of it cost.
pub struct Seen {
    /// What was seen.
    pub snapshot: Snapshot,
    /// One line for each family and database.
    pub looks: Vec<Look>,
    /// Seconds that the server took for us, by family.
    pub spent: BTreeMap<&'static str, f64>,
    /// The question that took longest: its name, and seconds.
    pub slowest_question: (&'static str, f64),
}

/// What changes little in one database, as it was read last.
#[derive(Clone)]
struct Design {
    read_at: Instant,
    table_activity: Option<Arc<TableActivityLook>>,
    schema: Option<Arc<Schema>>,
}

/// The notes of one look while it goes on.
struct Notes {
    server: String,
    looks: Vec<Look>,
    gaps: Vec<Gap>,
    /// Seconds that the server took for each family.
    spent: BTreeMap<&'static str, f64>,
    /// Those of the session in use that are in there.
    counted_seconds: f64,
}

impl Notes {
    /// What the session took since the last time was for this family.
    fn took(&mut self, family: &'static str, session: &Observe) {
        let seconds = session.spent_seconds();
        *self.spent.entry(family).or_default() += (seconds - self.counted_seconds).max(0.0);
        self.counted_seconds = seconds;
    }

    fn look(
        &mut self,
        family: &str,
        database: Option<&str>,
        started: Instant,
        rows: usize,
        error: Option<String>,
    ) {
        self.looks.push(Look {
            server: self.server.clone(),
            family: family.to_owned(),
            database: database.map(str::to_owned),
            at: Utc::now(),
            elapsed_seconds: started.elapsed().as_secs_f64(),
            rows: rows as u64,
            error,
        });
    }

    /// A family of one database that could not be read: a gap, unless the session is lost.
    fn unread(
        &mut self,
        family: &str,
        database: &str,
        started: Instant,
        error: PostgresError,
    ) -> Result<(), PostgresError> {
        if error.is_fatal() {
            return Err(error);
        }
        self.look(family, Some(database), started, 0, Some(error.one_line()));
        self.gap(family, Some(database), error.one_line(), None);
        Ok(())
    }

    fn gap(
        &mut self,
        fact: &str,
        database: Option<&str>,
        why: String,
        remedy_sql: Option<String>,
    ) -> &mut Gap {
        self.gaps.push(Gap {
            fact: fact.to_owned(),
            database: database.map(str::to_owned),
            why,
            remedy_sql,
            missing_privilege: None,
            rules: Vec::new(),
        });
        let last = self.gaps.len() - 1;
        &mut self.gaps[last]
    }
}

impl Collector {
    /// A collector for one server. `watches` tells which databases are meant.
    pub fn new(
        name: String,
        server: Server,
        watches: Box<dyn Fn(&str) -> bool + Send + Sync>,
        catalog_every: std::time::Duration,
    ) -> Self {
        Self {
            name,
            server,
            watches,
            catalog_every,
            names_every: catalog_every,
            texts: TextCache::default(),
            catalogs: HashMap::new(),
            definitions: HashMap::new(),
            designs: HashMap::new(),
            statistics_server: None,
            statistics: HashMap::new(),
            database_oids: HashMap::new(),
            server_seen: None,
            declared: Declared::default(),
            rules: Vec::new(),
            held_locks_after: limits::HELD_LOCKS_AFTER,
            remembered: server::Remembered::default(),
            clock: (Utc::now(), Instant::now()),
        }
    }

    /// Takes in what the server's owner says of its machine.
    pub fn declare(&mut self, declared: Declared) {
        self.declared = declared;
    }

    /// Keeps of comments in sessions' statements which of these rules are to leave them alone; nothing else of them is kept.
    pub fn heed_comments_for(&mut self, rules: Vec<&'static str>) {
        self.rules = rules;
    }

    /// Asks sessions that idle in a transaction for so long for the tables that they have locked; after
    /// [`limits::HELD_LOCKS_AFTER`] where nothing is said.
    pub fn ask_for_held_locks_after(&mut self, idle: std::time::Duration) {
        self.held_locks_after = idle;
    }

    /// Reads names, definitions and designs this far apart from now on: they are what can wait best.
    pub fn read_names_every(&mut self, every: std::time::Duration) {
        self.names_every = every;
    }

    /// The server that it looks at.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Looks once.
    ///
    /// # Errors
    /// If the server cannot be reached, or its home session fails as a whole.
    pub async fn look(&mut self) -> Result<Seen, PostgresError> {
        let mut notes = Notes {
            server: self.name.clone(),
            looks: Vec::new(),
            gaps: Vec::new(),
            spent: BTreeMap::new(),
            counted_seconds: 0.0,
        };
        let home = self.server.observe_home().await?;
        let started = Instant::now();
        let taken_at = self.clock.0 + TimeDelta::from_std(self.clock.1.elapsed()).unwrap_or_default();
        let (at, mut facts) = server::look(
            &home,
            &self.name,
            &mut self.remembered,
            self.catalog_every,
            &mut notes,
        )
        .await?;
        facts.declared = self.declared.clone();
        notes.look("server", None, started, facts.databases.len(), None);
        notes.took("server", &home);
        let statements = statements::look(&home, &facts, &mut self.texts, &mut notes).await?;
        notes.took("statements", &home);
        let idle_since = at - TimeDelta::from_std(self.held_locks_after).unwrap_or_default();
        let sessions = sessions::look(&home, idle_since, facts.version_num, &self.rules, &mut notes).await?;
        let prepared_transactions =
            sessions::prepared_transactions(&home, facts.version_num, &mut notes).await?;
        notes.took("sessions", &home);
        let replication = replication::look(&home, &facts, &mut notes).await?;
        notes.took("replication", &home);
        let mut slowest_question = home.slowest_question();
        drop(home);

        let watched = self.watched(&facts, &mut notes);
        self.forget_others_than(&watched, &facts);
        let mut databases = Vec::new();
        for name in &watched {
            match self.visit(name, at, &facts, &mut notes).await {
                Ok((database, slowest)) => {
                    if slowest.1 > slowest_question.1 {
                        slowest_question = slowest;
                    }
                    databases.push(database);
                }
                Err(error) => {
                    notes.look("relations", Some(name), started, 0, Some(error.one_line()));
                    unvisited(&facts, name, &error, &mut notes);
                }
            }
        }
        let snapshot = Snapshot {
            at,
            taken_at,
            server: facts,
            watched,
            statements,
            sessions,
            prepared_transactions,
            replication,
            databases,
            gaps: notes.gaps,
        };
        Ok(Seen {
            snapshot,
            looks: notes.looks,
            spent: notes.spent,
            slowest_question,
        })
    }

    /// Forgets what was read of databases that are gone, also where another one has the name of one; and of a server that
    /// was started again, promoted or replaced, how its tables were used.
    fn forget_others_than(&mut self, watched: &[String], facts: &ServerFacts) {
        let oids: HashMap<String, u32> = facts
            .databases
            .iter()
            .map(|database| (database.name.clone(), database.oid))
            .collect();
        let before = std::mem::replace(&mut self.database_oids, oids);
        let oids = &self.database_oids;
        let is_it = |name: &String| watched.contains(name) && before.get(name) == oids.get(name);
        self.catalogs.retain(|name, _| is_it(name));
        self.designs.retain(|name, _| is_it(name));
        self.statistics.retain(|name, _| is_it(name));
        self.definitions.retain(|name, _| is_it(name));
        let seen = Some((facts.started_at, facts.is_standby));
        if std::mem::replace(&mut self.server_seen, seen) != seen {
            self.designs.clear();
        }
    }

    /// The databases that are meant; what is beyond the bound is told.
    fn watched(&self, facts: &ServerFacts, notes: &mut Notes) -> Vec<String> {
        let meant = facts.databases.iter().filter(|database| {
            database.allows_connections && !database.is_template && (self.watches)(&database.name)
        });
        let mut watched: Vec<String> = meant.map(|database| database.name.clone()).collect();
        for beyond in watched.split_off(watched.len().min(limits::DATABASES_PER_SERVER)) {
            let why = format!(
                "only {} databases of a server are visited",
                limits::DATABASES_PER_SERVER
            );
            notes.gap("database", Some(&beyond), why, None).rules = rules_of_a_database();
        }
        watched
    }

    /// Counters of one database, and its names where they are due.
    async fn visit(
        &mut self,
        name: &str,
        at: DateTime<Utc>,
        facts: &ServerFacts,
        notes: &mut Notes,
    ) -> Result<(DatabaseSnapshot, (&'static str, f64)), PostgresError> {
        let version_num = facts.version_num;
        let session: Observe = self.server.observe(name).await?;
        notes.counted_seconds = 0.0;
        let started = Instant::now();
        let cache = self.catalogs.entry(name.to_owned()).or_default();
        let counters = relations::look(&session, version_num).await;
        notes.took("relations", &session);
        let counters = counters?;
        let rows = counters.tables.len() + counters.indexes.len();
        notes.look("relations", Some(name), started, rows, None);
        let started = Instant::now();
        if cache.is_due(self.names_every, &counters) {
            let read = cache.refresh(&session, version_num, &counters).await;
            notes.took("catalog", &session);
            match read {
                Ok(rows) => notes.look("catalog", Some(name), started, rows, None),
                // without names nothing can be said; with those of some minutes ago it can
                Err(error) if error.is_fatal() || !cache.was_read() => return Err(error),
                Err(error) => {
                    notes.look("catalog", Some(name), started, 0, Some(error.one_line()));
                    notes.gap("catalog", Some(name), error.one_line(), None);
                }
            }
        }
        let catalog = cache.catalog();
        if counters.tables.len().max(counters.indexes.len()) >= limits::RELATIONS_PER_DATABASE {
            return Err(session.too_many(limits::RELATIONS_PER_DATABASE));
        }
        let design = self.design(&session, name, at, facts, notes).await?;
        let schema = design.schema.as_deref();
        let refused = schema.and_then(|schema| design::refused_sequences(schema, name, &facts.login));
        notes.gaps.extend(refused);
        let column_statistics = self.column_statistics(name, facts, &catalog, notes).await;
        let materialized_views = self
            .materialized_views(&session, name, version_num, &catalog, notes)
            .await?;
        let database = DatabaseSnapshot {
            name: name.to_owned(),
            tables: counters.tables,
            indexes: counters.indexes,
            progress: counters.progress,
            catalog,
            table_activity: design.table_activity,
            schema: design.schema,
            column_statistics,
            materialized_views,
        };
        Ok((database, session.slowest_question()))
    }

    /// The design of a database and how its tables were used, read again where that is due.
    async fn design(
        &mut self,
        session: &Observe,
        name: &str,
        at: DateTime<Utc>,
        facts: &ServerFacts,
        notes: &mut Notes,
    ) -> Result<Design, PostgresError> {
        let known = self.designs.get(name);
        if let Some(known) = known.filter(|known| known.read_at.elapsed() < self.names_every) {
            return Ok(known.clone());
        }
        let started = Instant::now();
        let mut design = Design {
            read_at: started,
            table_activity: None,
            schema: None,
        };
        match design::table_activity(session, facts.version_num, at).await {
            Ok(look) => {
                notes.look("table activity", Some(name), started, look.tables.len(), None);
                design.table_activity = Some(Arc::new(look));
            }
            Err(error) => notes.unread("table activity", name, started, error)?,
        }
        notes.took("table activity", session);
        let started = Instant::now();
        // what is to be changed is changed on the primary, and a standby cannot read all of its sequences
        let schema = match facts.is_standby {
            true => Ok(None),
            false => design::schema(session, facts.version_num).await.map(Some),
        };
        match schema {
            Ok(None) => {}
            Ok(Some(schema)) => {
                let rows = schema.foreign_keys.len() + schema.not_valid.len() + schema.sequences.len();
                notes.look("schema", Some(name), started, rows, None);
                design.schema = Some(Arc::new(schema));
            }
            Err(error) => notes.unread("schema", name, started, error)?,
        }
        notes.took("schema", session);
        // what was refused is not asked for at each look: it may be what the server cannot bear
        self.designs.insert(name.to_owned(), design.clone());
        Ok(design)
    }

    /// Materialized views, where there are any.
    async fn materialized_views(
        &mut self,
        session: &Observe,
        name: &str,
        version_num: i32,
        catalog: &Catalog,
        notes: &mut Notes,
    ) -> Result<Option<Vec<MaterializedViewFacts>>, PostgresError> {
        if !catalog.tables.values().any(|table| table.kind == 'm') {
            return Ok(Some(Vec::new()));
        }
        let started = Instant::now();
        let definitions = self.definitions.entry(name.to_owned()).or_default();
        let read = definitions.look(session, version_num).await;
        notes.took("materialized views", session);
        match read {
            Ok(views) => {
                notes.look("materialized views", Some(name), started, views.len(), None);
                Ok(Some(views))
            }
            Err(error) if error.is_fatal() => Err(error),
            Err(error) => {
                notes.look(
                    "materialized views",
                    Some(name),
                    started,
                    0,
                    Some(error.one_line()),
                );
                let gap = notes.gap("materialized views", Some(name), error.one_line(), None);
                gap.rules = vec!["matview.*".to_owned()];
                Ok(None)
            }
        }
    }
}

/// Rules that need a visit to the database.
fn rules_of_a_database() -> Vec<String> {
    vec!["index.*".to_owned(), "vacuum.dead_tuples".to_owned()]
}

/// A database that could not be visited, and the GRANT where a right is what it takes.
fn unvisited(facts: &ServerFacts, name: &str, error: &PostgresError, notes: &mut Notes) {
    let refused = facts
        .databases
        .iter()
        .any(|database| database.name == name && !database.may_connect);
    let grant = Statement::GrantConnect {
        database: name.to_owned(),
        to: facts.login.clone(),
    }
    .sql();
    let gap = notes.gap("database", Some(name), error.one_line(), refused.then_some(grant));
    gap.missing_privilege = refused.then(|| format!("CONNECT on database {name}"));
    gap.rules = rules_of_a_database();
}
