//! What judging costs, without any server: `cargo bench --bench judge` (a minute), or with other numbers of tables and
//! statements than below: `cargo bench --bench judge -- 1000 10000`.
//!
//! 10 000 tables, 30 000 indexes and 10 000 statements of usual shapes in one database, with foreign keys, sequences,
//! partitions, settings and sessions: looks as they are read, observed and judged as the daemon does it, with the settings
//! that hold without a configuration. CPU of the first look, of the first one with a window (65 minutes later), and of those
//! that follow each minute, in which a tenth of the statements was called; and the rules that cost most, each alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use pgadvisor::judge::{Settings, judge};
use pgadvisor::limits;
use pgadvisor::model::catalog::{Catalog, IndexFacts, TableFacts};
use pgadvisor::model::observation::Observation;
use pgadvisor::model::replication::Replication;
use pgadvisor::model::schema::{ForeignKey, Schema, Sequence, SequenceColumn};
use pgadvisor::model::session::Session;
use pgadvisor::model::snapshot::{
    DatabaseFacts, DatabaseSnapshot, IndexCounters, Progress, ServerFacts, Setting, Snapshot,
    StatementCounters, StatementKey, StatementText, Statements, TableActivityCounters, TableActivityLook,
    TableCounters,
};
use pgadvisor::observe::Observer;
use pgadvisor::rules::sampled::SampledStatements;
use pgadvisor::rules::{self, Place, RuleKind, Scope};

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const TABLES: u32 = 10_000;
const STATEMENTS: usize = 10_000;
const SESSIONS: usize = 300;
/// Looks that follow each other by a minute, once everything is known.
const LOOKS: i64 = 10;
/// What is said of one rule is the least of so many rounds.
const ROUNDS: usize = 5;
/// Each table has its OID, its indexes, its TOAST table, its sequence and its foreign key within so many.
const STRIDE: u32 = 8;
const DATABASE: u32 = 5;

/// What does not change from look to look.
struct World {
    begin: DateTime<Utc>,
    server: ServerFacts,
    catalog: Arc<Catalog>,
    schema: Arc<Schema>,
    /// At the first look and at the second; those that follow do not read it again.
    activities: [Arc<TableActivityLook>; 2],
    texts: Arc<HashMap<i64, Arc<StatementText>>>,
    sessions: Vec<Session>,
    statements: usize,
}

fn oid(table: u32) -> u32 {
    20_000 + table * STRIDE
}

/// The number of a table that another one refers to.
fn parent(table: u32) -> u32 {
    table / 3
}

/// Every hundredth is partitioned, and the nine behind it are its partitions.
fn partition_of(table: u32) -> Option<u32> {
    (1..10).contains(&(table % 100)).then(|| table - table % 100)
}

fn rows(table: u32) -> f64 {
    10_f64.powi(1 + (table % 7) as i32)
}

fn table_facts(table: u32) -> TableFacts {
    let is_partitioned = table.is_multiple_of(100);
    TableFacts {
        oid: oid(table),
        schema: "public".into(),
        name: format!("t{table}"),
        kind: if is_partitioned { 'p' } else { 'r' },
        rows: if is_partitioned { -1.0 } else { rows(table) },
        size_bytes: if is_partitioned { 0.0 } else { rows(table) * 120.0 },
        options: match table % 40 {
            7 => vec![
                "fillfactor=90".into(),
                "autovacuum_vacuum_scale_factor=0.05".into(),
            ],
            _ => Vec::new(),
        },
        frozen_xid_age: i64::from(table) * 1_000,
        partition_of: partition_of(table).map(oid),
        ..TableFacts::default()
    }
}

fn toast_facts(table: u32) -> TableFacts {
    TableFacts {
        oid: oid(table) + 4,
        schema: "pg_toast".into(),
        name: format!("pg_toast_{}", oid(table)),
        kind: 't',
        rows: rows(table) / 10.0,
        size_bytes: rows(table) * 20.0,
        toast_of: Some(oid(table)),
        ..TableFacts::default()
    }
}

/// The key, the index of the foreign key, and one more: the same again, one that begins alike, or another one.
fn index_facts(table: u32) -> [IndexFacts; 3] {
    let has_key = !table.is_multiple_of(50);
    let third = match table % 20 {
        0 => "parent_id",
        1 | 2 => "parent_id, created_at",
        3 => "lower(email)",
        _ => "created_at DESC",
    };
    let supports = !table.is_multiple_of(5);
    let one = |number: u32, name: &str, columns: &str| IndexFacts {
        oid: oid(table) + number,
        table_oid: oid(table),
        schema: "public".into(),
        name: format!("t{table}_{name}"),
        size_bytes: rows(table) * 30.0,
        is_valid: true,
        is_ready: true,
        is_immediate: true,
        has_expressions: columns.contains('('),
        is_partition: partition_of(table).is_some(),
        is_partitioned: table.is_multiple_of(100),
        shape: format!("403|1|{columns}").into(),
        definition: Some(
            format!("CREATE INDEX t{table}_{name} ON public.t{table} USING btree ({columns})").into(),
        ),
        ..IndexFacts::default()
    };
    let key = IndexFacts {
        is_unique: has_key,
        is_primary: has_key,
        constraint: has_key.then(|| format!("t{table}_pkey").into()),
        is_referenced: has_key && table < TABLES / 3,
        ..one(1, "pkey", "id")
    };
    let foreign = IndexFacts {
        foreign_keys: supports.then_some(oid(table) + 6).into_iter().collect(),
        ..one(2, "parent", if supports { "parent_id" } else { "note" })
    };
    [key, foreign, one(3, "third", third)]
}

fn schema(tables: u32) -> Schema {
    let key = |table: u32| ForeignKey {
        oid: oid(table) + 6,
        name: format!("t{table}_parent_fkey"),
        table_oid: oid(table),
        columns: vec!["parent_id".into()],
        types: vec![
            if table.is_multiple_of(400) {
                "bigint"
            } else {
                "integer"
            }
            .into(),
        ],
        referenced_oid: oid(parent(table)),
        referenced_columns: vec!["id".into()],
        referenced_types: vec!["integer".into()],
        on_delete: 'a',
        ..ForeignKey::default()
    };
    let sequence = |table: u32| Sequence {
        oid: oid(table) + 5,
        schema: "public".into(),
        name: format!("t{table}_id_seq"),
        type_name: "integer".into(),
        last_value: Some(if table.is_multiple_of(500) {
            1_700_000_000
        } else {
            rows(table) as i64
        }),
        is_readable: true,
        is_refused: false,
        least: 1,
        greatest: i64::from(i32::MAX),
        increment: 1,
        cycles: false,
        column: Some(SequenceColumn {
            table_oid: oid(table),
            name: "id".into(),
            type_name: "integer".into(),
            domain: None,
            is_identity: false,
        }),
        other_columns: Vec::new(),
    };
    let owners = (0..tables).filter(|table| partition_of(*table).is_none());
    Schema {
        fixed_columns: Vec::new(),
        foreign_keys: owners.clone().map(key).collect(),
        not_valid: Vec::new(),
        sequences: owners.map(sequence).collect(),
        inherited_tables: Vec::new(),
        are_heirs_unread: false,
        trigrams_schema: None,
    }
}

/// The text of that number: twelve shapes as applications send them, over one to three tables.
fn text(number: usize, tables: u32) -> String {
    let one = number as u32 % tables;
    let (up, top) = (parent(one), parent(parent(one)));
    match number % 12 {
        0 | 1 => format!("SELECT id, parent_id, name, note_{number} FROM t{one} WHERE id = $1"),
        2 => format!(
            "SELECT * FROM t{one} WHERE parent_id = $1 AND kind_{number} = $2 ORDER BY created_at DESC LIMIT $3"
        ),
        3 => format!(
            "SELECT a.id, b.name FROM t{one} a JOIN t{up} b ON b.id = a.parent_id JOIN t{top} c ON c.id = b.parent_id WHERE c.name_{number} = $1"
        ),
        4 => format!("SELECT count(*) FROM t{one} /* report {number} */"),
        5 => format!(
            "SELECT id, name_{number} FROM t{one} WHERE name ILIKE $2 || $1 ORDER BY id LIMIT $3 OFFSET $4"
        ),
        6 => format!(
            "INSERT INTO t{one} (parent_id, name_{number}, created_at) VALUES ($1, $2, now()) RETURNING id"
        ),
        7 => format!("UPDATE t{one} SET name = $1, updated_at_{number} = now() WHERE id = $2"),
        8 => format!(
            "WITH recent AS (SELECT parent_id, sum(amount_{number}) AS total FROM t{one} WHERE created_at > now() - $1::interval GROUP BY 1) SELECT u.name, r.total FROM recent r JOIN t{up} u ON u.id = r.parent_id ORDER BY 2 DESC"
        ),
        9 => format!("DELETE FROM t{one} WHERE created_at < $1 AND kind_{number} = $2"),
        10 => {
            format!("SELECT * FROM t{one} WHERE id IN ($1, $2, $3, $4, $5, $6, $7, $8) AND NOT gone_{number}")
        }
        // as an object mapper writes it
        _ => {
            let column = |at: usize| format!("\"t{one}\".\"column_{at}\" AS \"t{one}_column_{at}_{number}\"");
            let columns: Vec<String> = (0..40).map(column).collect();
            format!(
                "SELECT {} FROM \"t{one}\" INNER JOIN \"t{up}\" ON \"t{up}\".\"id\" = \"t{one}\".\"parent_id\" WHERE \"t{one}\".\"parent_id\" = $1 LIMIT $2",
                columns.join(", ")
            )
        }
    }
}

fn queryid(number: usize) -> i64 {
    number as i64 * 1_000_003 + 17
}

/// The place of a statement among all of them by its calls, far from that of its neighbours.
fn rank(number: usize, all: usize) -> usize {
    number * 7919 % all
}

/// What it has counted when it was called for so many minutes.
fn counters(number: usize, all: usize, minutes: i64) -> StatementCounters {
    let calls = (30_000 / (rank(number, all) as i64 + 1)).max(1) * minutes;
    let mean_ms =
        [0.05, 0.3, 2.0, 15.0, 120.0][number % 5] * if calls > 10_000 * minutes { 0.1 } else { 1.0 };
    let rows = calls * [1, 1, 20, 500, 0][number % 5];
    StatementCounters {
        key: StatementKey {
            user_oid: 10 + number as u32 % 3,
            database_oid: DATABASE,
            queryid: queryid(number),
        },
        calls,
        execution_ms: mean_ms * calls as f64,
        stddev_ms: mean_ms * (number % 9) as f64,
        max_ms: mean_ms * 40.0,
        planning_ms: 0.0,
        rows,
        shared_blocks_hit: calls * 12,
        shared_blocks_read: calls / 10,
        temp_blocks_written: if number.is_multiple_of(200) {
            calls * 100
        } else {
            0
        },
        since: None,
    }
}

fn sessions(begin: DateTime<Utc>, texts: &HashMap<i64, Arc<StatementText>>) -> Vec<Session> {
    let one = |number: usize| {
        let state = match number % 10 {
            0 => "active",
            1 => "idle in transaction",
            _ => "idle",
        };
        let since = Some(begin - TimeDelta::seconds(number as i64 % 90));
        Session {
            pid: 1_000 + number as i32,
            backend_type: "client backend".into(),
            role: Some(["app", "report", "admin"][number % 3].into()),
            database: Some("app".into()),
            application: ["shop", "worker", "billing"][number % 3].into(),
            state: Some(state.into()),
            transaction_started_at: since.filter(|_| state != "idle"),
            query_started_at: since,
            state_changed_at: since,
            statement: texts.get(&queryid(number)).filter(|_| state != "idle").cloned(),
            command: "SELECT".into(),
            // every tenth that is active waits for the one before
            blocked_by: match number % 100 {
                50 => vec![1_000 + number as i32 - 9],
                _ => Vec::new(),
            },
            ..Session::default()
        }
    };
    (0..SESSIONS).map(one).collect()
}

fn server(begin: DateTime<Utc>) -> ServerFacts {
    let settings = [
        ("autovacuum", "on", None),
        ("autovacuum_analyze_scale_factor", "0.1", None),
        ("autovacuum_analyze_threshold", "50", None),
        ("autovacuum_freeze_max_age", "200000000", None),
        ("autovacuum_vacuum_scale_factor", "0.2", None),
        ("autovacuum_vacuum_threshold", "50", None),
        ("block_size", "8192", None),
        ("effective_cache_size", "524288", Some("8kB")),
        ("fsync", "on", None),
        ("full_page_writes", "on", None),
        ("maintenance_work_mem", "65536", Some("kB")),
        ("max_connections", "400", None),
        ("pg_stat_statements.max", "12000", None),
        ("pg_stat_statements.track_planning", "off", None),
        ("random_page_cost", "4", None),
        ("shared_buffers", "16384", Some("8kB")),
        ("superuser_reserved_connections", "3", None),
        ("synchronous_commit", "on", None),
        ("track_counts", "on", None),
        ("work_mem", "4096", Some("kB")),
    ];
    let setting = |(name, value, unit): (&str, &str, Option<&str>)| {
        let setting = Setting {
            value: value.to_owned(),
            unit: unit.map(str::to_owned),
            source: "configuration file".to_owned(),
            context: "sighup".to_owned(),
            ..Setting::default()
        };
        (name.to_owned(), setting)
    };
    let reset_at = Some(begin - TimeDelta::days(45));
    ServerFacts {
        name: "main".into(),
        version_num: 170_002,
        system_identifier: Some("1".into()),
        started_at: begin - TimeDelta::days(50),
        shared_statistics_reset_at: reset_at,
        relations_counted_since: reset_at,
        next_transaction_id: Some(1_000_000_000),
        settings: settings.into_iter().map(setting).collect(),
        databases: vec![DatabaseFacts {
            oid: DATABASE,
            name: "app".into(),
            allows_connections: true,
            may_connect: true,
            frozen_xid_age: 90_000_000,
            statistics_reset_at: reset_at,
            blocks_hit: 90_000_000,
            blocks_read: 10_000_000,
            ..DatabaseFacts::default()
        }],
        sees_all_sessions: true,
        roles: ["app", "report", "admin"]
            .iter()
            .zip(10..)
            .map(|(name, oid)| (oid, (*name).to_owned()))
            .collect(),
        login: "pgadvisor".into(),
        ..ServerFacts::default()
    }
}

/// How tables were read and written so many hours after the begin.
fn activity(begin: DateTime<Utc>, catalog: &Catalog, hours: i64) -> Arc<TableActivityLook> {
    let of_one = |facts: &TableFacts| {
        let busy = if facts.oid.is_multiple_of(48) { 50_000 } else { 20 };
        TableActivityCounters {
            oid: facts.oid,
            sequential_scans: hours * 30,
            sequential_rows_read: hours * busy * 1_000,
            inserted: hours * 200,
            updated: hours * busy,
            hot_updated: hours * busy / 4,
            deleted: hours * 10,
            modified_since_analyze: facts.rows.max(0.0) as i64 / 20,
            last_analyze_at: Some(begin - TimeDelta::hours(20)),
            new_page_updated: Some(hours * busy / 2),
            last_sequential_scan_at: None,
        }
    };
    Arc::new(TableActivityLook {
        at: begin + TimeDelta::minutes(hours * FIRST_WINDOW),
        tables: catalog.tables.values().map(of_one).collect(),
    })
}

impl World {
    fn new(tables: u32, statements: usize) -> Self {
        let begin = DateTime::from_timestamp(1_790_000_000, 0).expect("a time");
        let of_one = |table: u32| {
            let toast = (!table.is_multiple_of(2)).then(|| toast_facts(table));
            std::iter::once(table_facts(table)).chain(toast)
        };
        let facts: Vec<TableFacts> = (0..tables).flat_map(of_one).collect();
        let indexes: Vec<IndexFacts> = (0..tables).flat_map(index_facts).collect();
        let text = |number: usize| {
            let text = pgadvisor::sql::identify(&text(number, tables));
            (queryid(number), Arc::new(text))
        };
        let texts: HashMap<i64, Arc<StatementText>> = (0..statements).map(text).collect();
        let catalog = Arc::new(Catalog::new(facts.into(), indexes.into()));
        Self {
            begin,
            server: server(begin),
            activities: [activity(begin, &catalog, 0), activity(begin, &catalog, 1)],
            catalog,
            schema: Arc::new(schema(tables)),
            sessions: sessions(begin, &texts),
            texts: Arc::new(texts),
            statements,
        }
    }

    /// The look of a minute. In the first hour each statement is called; later the tenth that is called most.
    fn look(&self, minute: i64) -> Snapshot {
        let at = self.begin + TimeDelta::minutes(minute);
        let often = self.statements / 10;
        let called = |number: usize| match rank(number, self.statements) < often {
            true => minute + 1,
            false => minute.min(FIRST_WINDOW) + 1,
        };
        let mut entries: Vec<StatementCounters> = (0..self.statements)
            .map(|number| counters(number, self.statements, called(number)))
            .collect();
        entries.sort_unstable_by_key(|entry| entry.key);
        let mut server = self.server.clone();
        server.next_transaction_id = server.next_transaction_id.map(|next| next + minute * 6_000);
        Snapshot {
            at,
            taken_at: at,
            server,
            watched: vec!["app".into()],
            statements: Some(Statements {
                schema: "public".into(),
                reset_at: Some(self.begin - TimeDelta::days(45)),
                evictions: 0,
                entries: Arc::new(entries),
                texts: self.texts.clone(),
            }),
            sessions: Some(self.sessions.clone()),
            prepared_transactions: Some(Vec::new()),
            replication: Some(Replication::default()),
            databases: vec![self.database(minute)],
            gaps: Vec::new(),
        }
    }

    fn database(&self, minute: i64) -> DatabaseSnapshot {
        let all = self.catalog.tables.values();
        let counters = |facts: &TableFacts| TableCounters {
            oid: facts.oid,
            scans: minute,
            live_rows: facts.rows.max(0.0) as i64,
            dead_rows: (facts.rows.max(0.0) * if facts.oid % 33 == 1 { 0.5 } else { 0.02 }) as i64,
            written: minute * i64::from(facts.oid % 100),
            last_vacuum_at: Some(self.begin - TimeDelta::hours(30)),
            rows_were_counted: !facts.oid.is_multiple_of(50),
        };
        let indexes = self.catalog.indexes.values().map(|facts| IndexCounters {
            oid: facts.oid,
            scans: if facts.oid.is_multiple_of(3) {
                0
            } else {
                1_000 + minute
            },
            last_scan_at: None,
        });
        DatabaseSnapshot {
            name: "app".into(),
            tables: all.map(counters).collect(),
            indexes: indexes.collect(),
            progress: Progress::default(),
            catalog: self.catalog.clone(),
            table_activity: Some(self.activities[usize::from(minute >= FIRST_WINDOW)].clone()),
            schema: Some(self.schema.clone()),
            materialized_views: Some(Vec::new()),
            ..DatabaseSnapshot::default()
        }
    }
}

/// The minute of the second look: tables are judged by an hour or more.
const FIRST_WINDOW: i64 = 65;

/// Milliseconds of CPU that this thread had so far.
fn cpu_milliseconds() -> f64 {
    // the count is brought up to date when the thread lets go of its processor
    std::thread::sleep(Duration::from_millis(1));
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the CPU of this thread");
    let nanoseconds = told
        .split(' ')
        .next()
        .and_then(|number| number.parse::<f64>().ok());
    nanoseconds.expect("a number of nanoseconds") / 1e6
}

/// Observes and judges one look; tells what of CPU each took, in milliseconds.
fn turn(observer: &mut Observer, snapshot: &Snapshot, settings: &Settings) -> (Observation, f64, f64) {
    let begin = cpu_milliseconds();
    let observation = observer.observe(snapshot, false);
    let observed = cpu_milliseconds();
    let judgement = judge(&observation, settings);
    let judged = cpu_milliseconds();
    assert!(
        !judgement.claims.is_empty(),
        "nothing was found: this measures nothing"
    );
    (observation, observed - begin, judged - observed)
}

/// What one rule takes in milliseconds, what it claims, and of how many it cannot tell.
fn alone(rule: &RuleKind, observation: &Observation) -> (f64, usize, usize) {
    let thresholds = (rule.defaults)();
    let server = Place {
        observation,
        database: None,
        sampled: &SampledStatements::of(observation),
        claims_at_most: limits::FINDINGS_PER_RULE,
    };
    let places: Vec<Place<'_>> = match rule.scope {
        Scope::Server => vec![server],
        Scope::Database => {
            let databases = observation.databases.iter();
            let place = |database| Place {
                database: Some(database),
                ..server
            };
            databases.map(place).collect()
        }
    };
    let (mut least, mut claims, mut undecided) = (f64::MAX, 0, 0);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let found: Vec<_> = places
            .iter()
            .map(|place| (rule.judge)(&thresholds, place))
            .collect();
        least = least.min(began.elapsed().as_secs_f64() * 1000.0);
        let known = || found.iter().flatten();
        claims = known().map(|found| found.claims.len()).sum();
        undecided = known().map(|found| found.undecided.len()).sum();
    }
    (least, claims, undecided)
}

fn row(name: &str, observed: f64, judged: f64) {
    println!(
        "| {name} | {observed:.1} ms | {judged:.1} ms | {:.1} ms |",
        observed + judged
    );
}

fn main() {
    // cargo passes options of its own, too
    let mut asked = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let tables = asked.next().map_or(TABLES, |tables| tables as u32);
    let statements = asked.next().unwrap_or(STATEMENTS);
    eprintln!(
        "making {tables} tables, {} indexes, {statements} statements",
        tables * 3
    );
    let world = World::new(tables, statements);
    let (mut observer, settings) = (Observer::default(), Settings::default());
    println!("| look | observe, CPU | judge, CPU | together |\n|---|---|---|---|");
    let (_, observed, judged) = turn(&mut observer, &world.look(0), &settings);
    row("the first", observed, judged);
    let (mut last, observed, judged) = turn(&mut observer, &world.look(FIRST_WINDOW), &settings);
    row("the first with a window", observed, judged);
    let (mut all_observed, mut all_judged, mut longest) = (0.0, 0.0, 0.0_f64);
    for minute in 1..=LOOKS {
        let snapshot = world.look(FIRST_WINDOW + minute);
        let (observation, observed, judged) = turn(&mut observer, &snapshot, &settings);
        all_observed += observed;
        all_judged += judged;
        longest = longest.max(observed + judged);
        last = observation;
    }
    row(
        "a later one, mean",
        all_observed / LOOKS as f64,
        all_judged / LOOKS as f64,
    );
    println!("\nThe longest of the later ones took {longest:.1} ms.\n");
    let mut rules: Vec<_> = rules::all()
        .iter()
        .map(|rule| (rule.id, alone(rule, &last)))
        .collect();
    rules.sort_by(|(_, (a, ..)), (_, (b, ..))| b.total_cmp(a));
    let sum: f64 = rules.iter().map(|(_, (milliseconds, ..))| milliseconds).sum();
    println!("| rule | alone | claims | undecided |\n|---|---|---|---|");
    for (id, (milliseconds, claims, undecided)) in rules.iter().take(10) {
        println!("| `{id}` | {milliseconds:.2} ms | {claims} | {undecided} |");
    }
    println!("| all {} | {sum:.1} ms | | |", rules.len());
}
