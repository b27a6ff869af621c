//! What refreshing costs: `cargo bench --bench refresh` (a minute; Debian's PostgreSQL), and beside pg_cron with the same
//! schedule: `cargo bench --bench refresh -- --beside-pg-cron 10` (that many minutes; also Debian's postgresql-15-cron).
//!
//! The arithmetic of 10 000 schedules, and the plan of 500 views that read each other; refreshes of an unchanged database
//! over a hundred due moments; and, in two databases of one server with the same tables, writers and readers, what the
//! refreshes of pg_cron took and made readers wait, and what ours did.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use pgadvisor::configuration::Refresh;
use pgadvisor::demo::Disposable;
use pgadvisor::model::refresh::{MaterializedView, ViewMemory, ViewName};
use pgadvisor::model::unit::Period;
use pgadvisor::refresh::due::{Due, Reckoning};
use pgadvisor::refresh::graph::{References, lineages};
use pgadvisor::refresh::plan::{Ask, Knowledge, Unchanged, plan};
use pgadvisor::refresh::read::Look;
use tokio_postgres::Client;

fn view(number: usize) -> ViewName {
    ViewName {
        database: "app".into(),
        schema: "reports".into(),
        name: format!("v{number}"),
    }
}

/// Milliseconds of the fastest of some rounds: what the work takes, not what else the machine does.
fn milliseconds(rounds: u32, mut work: impl FnMut()) -> f64 {
    let once = |_| {
        let began = Instant::now();
        work();
        began.elapsed().as_secs_f64() * 1000.0
    };
    (0..rounds).map(once).fold(f64::MAX, f64::min)
}

/// A policy of one of the kinds there are.
fn policy(number: usize) -> Refresh {
    let zones = ["UTC", "Europe/Stockholm", "America/New_York"];
    let mut policy = Refresh {
        time_zone: zones[number % 3].parse().expect("a zone"),
        jitter: Period::seconds(30),
        ..Refresh::default()
    };
    match number % 4 {
        0 => {
            policy.cron = Some(
                format!("{} {} * * *", number % 60, number % 24)
                    .parse()
                    .expect("a cron expression"),
            )
        }
        1 => policy.cron = Some("*/15 8-18 * * MON-FRI".parse().expect("a cron expression")),
        2 => policy.every = Some(Period::minutes(10)),
        _ => policy.max_age = Some(Period::minutes(15)),
    }
    policy
}

/// The first time, and once the moments around now are known.
fn schedules(now: DateTime<Utc>) -> (f64, f64) {
    let jobs: Vec<(ViewName, Refresh, ViewMemory)> = (0..10_000)
        .map(|number| {
            let at = now - TimeDelta::seconds(number as i64 % 600);
            let memory = ViewMemory {
                first_seen_at: Some(now - TimeDelta::days(9)),
                handled_until: Some(at),
                fresh_as_of: Some(at),
                plain_seconds: vec![1.0],
                ..ViewMemory::default()
            };
            (view(number), policy(number), memory)
        })
        .collect();
    let mut due = 0;
    let mut reckon = || {
        due = jobs
            .iter()
            .filter(|(view, policy, memory)| {
                let reckoning = Reckoning {
                    policy,
                    view,
                    memory,
                    is_populated: true,
                    after: None,
                    others: None,
                    next_pass_in: TimeDelta::zero(),
                };
                matches!(reckoning.due(now), Due::Now { .. })
            })
            .count();
    };
    let took = (milliseconds(1, &mut reckon), milliseconds(20, &mut reckon));
    assert!(due < 10_000);
    took
}

/// Each view reads up to three of those before it, and a table.
fn graph(now: DateTime<Utc>) -> f64 {
    let oid = |number: usize| 20_000 + number as u32;
    let references: HashMap<u32, References> = (0..500_usize)
        .map(|number| {
            let others = [number / 2, number / 3, number.saturating_sub(7)];
            let others = others.into_iter().filter(|other| *other < number).map(oid);
            let references = References {
                version: "1".into(),
                relations: others.chain([30_000 + number as u32 % 50]).collect(),
                ..References::default()
            };
            (oid(number), references)
        })
        .collect();
    let views: Vec<MaterializedView> = (0..500)
        .map(|number| MaterializedView {
            oid: oid(number),
            name: view(number),
            is_populated: true,
            may_refresh: true,
            ..MaterializedView::default()
        })
        .collect();
    let policies = (0..500).map(|number| {
        let policy = Refresh {
            every: Some(Period::minutes(1)),
            ..Refresh::default()
        };
        (view(number), Arc::new(policy))
    });
    let policies = policies.collect();
    let oids: BTreeSet<u32> = views.iter().map(|view| view.oid).collect();
    let mut steps = 0;
    let took = milliseconds(20, || {
        let look = Look {
            database: "app".into(),
            now,
            views: views.iter().map(|view| (view.oid, view.clone())).collect(),
            lineages: lineages(&oids, &references),
            ..Look::default()
        };
        let known = Knowledge {
            policies: &policies,
            memories: &HashMap::new(),
            next_pass_in: TimeDelta::zero(),
        };
        let planned = plan(&look, &known, &Ask::Due(Unchanged::Leave));
        let place: BTreeMap<&ViewName, usize> = planned
            .iter()
            .enumerate()
            .map(|(place, step)| (&step.view, place))
            .collect();
        let is_after = planned.iter().all(|step| {
            step.depends_on
                .iter()
                .all(|other| place[other] < place[&step.view])
        });
        assert!(is_after);
        steps = planned.len();
    });
    assert_eq!(steps, 500);
    took
}

/// A daemon that refreshes the views of one database.
struct Daemon {
    process: Child,
    folder: std::path::PathBuf,
}

impl Daemon {
    fn start(dsn: &str, database: &str, refresh: &str) -> Self {
        let folder = std::env::temp_dir().join(format!(
            "pgadvisor-bench-refresh-{}-{database}",
            std::process::id()
        ));
        fs::create_dir_all(&folder).expect("a folder");
        let config = folder.join("config.toml");
        let text = format!(
            "[web]\nlisten = \"127.0.0.1:0\"\n[[servers]]\nname = \"main\"\ndsn = \"{dsn}\"\ndatabases = [\"{database}\"]\n\
             [[refresh]]\ndatabase = \"{database}\"\nview = \"public.*\"\n{refresh}\n"
        );
        fs::write(&config, text).expect("a configuration");
        let process = Command::new(env!("CARGO_BIN_EXE_pgadvisor"))
            .arg("run")
            .arg("--config")
            .arg(&config)
            .stderr(Stdio::null())
            .spawn()
            .expect("the daemon");
        Self { process, folder }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Three summaries that change, with an index by which they can be refreshed beside their readers, and three that do not.
const SHOP: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, customer int, amount numeric, made timestamptz DEFAULT now());
    INSERT INTO orders SELECT i, i % 50000, i, now() - i * interval '10 seconds' FROM generate_series(1, 600000) i;
    CREATE TABLE archive AS SELECT * FROM orders;
    CREATE MATERIALIZED VIEW by_day AS SELECT date_trunc('day', made) AS day, sum(amount) AS amount FROM orders GROUP BY 1;
    CREATE UNIQUE INDEX ON by_day (day);
    CREATE MATERIALIZED VIEW by_customer AS SELECT customer, sum(amount) AS amount FROM orders GROUP BY 1;
    CREATE UNIQUE INDEX ON by_customer (customer);
    CREATE MATERIALIZED VIEW top AS SELECT customer, amount FROM by_customer ORDER BY amount DESC LIMIT 100;
    CREATE MATERIALIZED VIEW old_by_day AS SELECT date_trunc('day', made) AS day, sum(amount) AS amount FROM archive GROUP BY 1;
    CREATE UNIQUE INDEX ON old_by_day (day);
    CREATE MATERIALIZED VIEW old_by_customer AS SELECT customer, sum(amount) AS amount FROM archive GROUP BY 1;
    CREATE MATERIALIZED VIEW old_top AS SELECT customer, amount FROM old_by_customer ORDER BY amount DESC LIMIT 100;
    VACUUM ANALYZE";

const VIEWS: [&str; 6] = [
    "by_day",
    "by_customer",
    "top",
    "old_by_day",
    "old_by_customer",
    "old_top",
];

async fn connect(server: &Disposable, database: &str) -> Client {
    server.connect(database).await.expect("a session")
}

async fn statements(client: &Client, sql: &str) {
    for statement in sql.split(";\n") {
        client
            .batch_execute(statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
}

/// Calls and seconds of all refreshes in a database.
async fn refreshes(client: &Client, database: &str) -> (i64, f64) {
    let sql = "SELECT coalesce(sum(calls), 0)::int8, coalesce(sum(total_exec_time), 0) / 1000 FROM pg_stat_statements
               WHERE dbid = (SELECT oid FROM pg_database WHERE datname = $1) AND query LIKE 'REFRESH MATERIALIZED VIEW%'";
    let row = client.query_one(sql, &[&database]).await.expect("a row");
    (row.get(0), row.get(1))
}

/// Seconds of everything else that we asked.
async fn looks(client: &Client) -> f64 {
    let sql = "SELECT coalesce(sum(total_exec_time + total_plan_time), 0) / 1000 FROM pg_stat_statements WHERE query LIKE '%/* pgadvisor */%'";
    client.query_one(sql, &[]).await.expect("a row").get(0)
}

/// Reads every view in turn until the end, and adds up how long the answers took and the longest of them.
async fn read(client: Client, until: Instant) -> (f64, f64) {
    let (mut sum, mut longest) = (0.0, 0.0_f64);
    while Instant::now() < until {
        for view in VIEWS {
            let began = Instant::now();
            let sql = format!("SELECT * FROM {view} LIMIT 1");
            let _ = client.query(&sql, &[]).await;
            let took = began.elapsed().as_secs_f64();
            // an undisturbed answer takes a millisecond
            sum += (took - 0.01).max(0.0);
            longest = longest.max(took);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (sum, longest)
}

/// A new order now and then.
async fn write(client: Client, until: Instant) {
    let mut number = 1_000_000;
    while Instant::now() < until {
        number += 1;
        let sql = format!("INSERT INTO orders VALUES ({number}, {}, 10)", number % 50_000);
        client.batch_execute(&sql).await.expect("an order");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn unchanged(server: &Disposable) {
    let home = connect(server, "postgres").await;
    home.batch_execute("CREATE DATABASE quiet")
        .await
        .expect("a database");
    statements(&connect(server, "quiet").await, SHOP).await;
    let _daemon = Daemon::start(&server.dsn("postgres", "postgres"), "quiet", "every = \"1 s\"");
    tokio::time::sleep(Duration::from_secs(15)).await;
    let before = refreshes(&home, "quiet").await;
    tokio::time::sleep(Duration::from_secs(17)).await;
    let after = refreshes(&home, "quiet").await;
    println!(
        "refreshes of 6 unchanged views over 17 s of due moments each second: {}",
        after.0 - before.0
    );
}

async fn beside_pg_cron(server: &Disposable, minutes: u64) {
    let home = connect(server, "postgres").await;
    home.batch_execute("CREATE EXTENSION pg_cron")
        .await
        .expect("pg_cron");
    for database in ["by_cron", "by_us"] {
        let create = format!("CREATE DATABASE {database}");
        home.batch_execute(&create).await.expect("a database");
        statements(&connect(server, database).await, SHOP).await;
    }
    for view in VIEWS {
        // as people write it: by hand, in an order that was right once
        let sql = format!(
            "SELECT cron.schedule_in_database('{view}', '* * * * *', 'REFRESH MATERIALIZED VIEW {view}', 'by_cron')"
        );
        home.batch_execute(&sql).await.expect("a job");
    }
    let _daemon = Daemon::start(
        &server.dsn("postgres", "postgres"),
        "by_us",
        "cron = \"* * * * *\"",
    );
    home.batch_execute("SELECT pg_stat_statements_reset()")
        .await
        .expect("a reset");
    let until = Instant::now() + Duration::from_secs(minutes * 60);
    let mut readers = Vec::new();
    for database in ["by_cron", "by_us"] {
        tokio::spawn(write(connect(server, database).await, until));
        readers.push(tokio::spawn(read(connect(server, database).await, until)));
    }
    println!(
        "| {minutes} min, each minute | refreshes | seconds of refreshing | a reader waited, s | at most, s |"
    );
    println!("|---|---|---|---|---|");
    for (database, reader) in ["by_cron", "by_us"].into_iter().zip(readers) {
        let (waited, longest) = reader.await.expect("the reader");
        let (calls, seconds) = refreshes(&home, database).await;
        let name = if database == "by_cron" {
            "pg_cron"
        } else {
            "pgadvisor"
        };
        println!("| {name} | {calls} | {seconds:.1} | {waited:.2} | {longest:.2} |");
    }
    println!(
        "seconds of everything else that pgadvisor asked the server: {:.2}",
        looks(&home).await
    );
}

#[tokio::main]
async fn main() {
    let now = Utc::now();
    let (first, again) = schedules(now);
    println!("due or not, 10 000 schedules: {first:.1} ms the first time, {again:.1} ms then");
    println!("500 views planned, dependencies first: {:.1} ms", graph(now));
    let arguments: Vec<String> = std::env::args().collect();
    let beside = arguments
        .iter()
        .position(|argument| argument == "--beside-pg-cron");
    let minutes = beside.and_then(|at| arguments.get(at + 1)?.parse().ok());
    let preload = match minutes {
        Some(_) => "shared_preload_libraries=pg_stat_statements,pg_cron",
        None => "shared_preload_libraries=pg_stat_statements",
    };
    let server = Disposable::start_with(&[
        preload,
        "cron.use_background_workers=on",
        "max_worker_processes=30",
    ])
    .await
    .expect("a server");
    let home = connect(&server, "postgres").await;
    home.batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        .await
        .expect("pg_stat_statements");
    unchanged(&server).await;
    if let Some(minutes) = minutes {
        beside_pg_cron(&server, minutes).await;
    }
}
