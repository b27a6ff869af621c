//! What watching many servers takes of memory: `cargo bench --bench servers` (on Debian's PostgreSQL; minutes), or with
//! other numbers of servers, of tables in each, and of statements: `cargo bench --bench servers -- 5 1000 1000`.
//!
//! Ten databases of 1 000 tables with three indexes each, on one server that is configured ten times, each time for one of
//! them: to the advisor these are ten servers, with sessions, texts, catalogs and windows of their own. They share one
//! pg_stat_statements, so that each of the ten holds the texts of all statements: more than ten real servers with a tenth of
//! them each would take. Resident memory after each server was looked at five times, with what a default configuration
//! does but for looks each ten seconds, and the most that there was.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pgadvisor::demo::Disposable;
use tokio_postgres::Client;

const SERVERS: usize = 10;
const TABLES: usize = 1_000;
const STATEMENTS: usize = 1_000;
/// Looks at each server.
const LOOKS: i64 = 5;

/// A database with so many tables of three indexes each.
async fn create_database(server: &Disposable, home: &Client, number: usize, tables: usize) {
    let name = format!("d{number}");
    home.batch_execute(&format!("CREATE DATABASE {name}"))
        .await
        .expect("a database");
    let session = server.connect(&name).await.expect("a session");
    session
        .batch_execute("CREATE EXTENSION pg_stat_statements; SET pg_stat_statements.track = none")
        .await
        .expect("pg_stat_statements");
    for table in 0..tables {
        let sql = format!(
            "CREATE TABLE t{table} (id int PRIMARY KEY, a int, b int); \
             CREATE INDEX t{table}_b ON t{table} (b); CREATE INDEX t{table}_c ON t{table} (a, b)"
        );
        session.batch_execute(&sql).await.expect("a table");
    }
    session.batch_execute("ANALYZE").await.expect("ANALYZE");
}

/// Statements that differ, with texts of 0.3 to 5 kB.
async fn call_statements(session: &Client, statements: usize) {
    let functions = ["abs(1)", "sign(1)"];
    for number in 0..statements {
        let columns: Vec<&str> = (0..14).map(|bit| functions[number >> bit & 1]).collect();
        let padding = "x".repeat(300 + number % 48 * 100);
        session
            .batch_execute(&format!("SELECT {} /* {padding} */", columns.join(", ")))
            .await
            .expect("a statement");
    }
}

struct Daemon(Child);

impl Daemon {
    fn start(server: &Disposable, servers: usize) -> Self {
        let folder = server.folder().join("bench-servers");
        fs::create_dir(&folder).expect("a folder");
        let one = |number: usize| {
            format!(
                "[[servers]]\nname = \"s{number}\"\ndsn = \"{}\"\ndatabases = [\"d{number}\"]\npoll_every = \"10 s\"\n",
                server.dsn("postgres", &format!("d{number}"))
            )
        };
        let all: String = (0..servers).map(one).collect();
        let text = format!("[web]\nlisten = \"127.0.0.1:0\"\n[budget]\nown_cost_ratio = 1.0\n{all}");
        let config = folder.join("config.toml");
        fs::write(&config, text).expect("a configuration");
        let process = Command::new(env!("CARGO_BIN_EXE_pgadvisor"))
            .args(["run", "--config"])
            .arg(&config)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .spawn()
            .expect("the daemon");
        Self(process)
    }

    /// A number of kB in what the kernel tells of its memory, in megabytes; none where the process is gone.
    fn megabytes(&self, name: &str) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: f64 = line
            .trim_start_matches(':')
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .ok()?;
        Some(kilobytes * 1024.0 / 1e6)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// The least number of looks at one of the databases, by what only a look asks, once.
async fn looks(session: &Client, servers: usize) -> i64 {
    let sql = "SELECT count(*), coalesce(min(calls), 0)::int8 FROM (
                   SELECT sum(s.calls) AS calls FROM pg_stat_statements AS s JOIN pg_database AS d ON d.oid = s.dbid
                   WHERE d.datname ~ '^d[0-9]+$' AND s.query LIKE '%pgadvisor%pg_postmaster_start_time%' GROUP BY s.dbid
               ) AS each";
    let row = session.query_one(sql, &[]).await.expect("looks");
    let (databases, least): (i64, i64) = (row.get(0), row.get(1));
    match databases == servers as i64 {
        true => least,
        false => 0,
    }
}

#[tokio::main]
async fn main() {
    // cargo passes options of its own, too
    let mut asked = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let servers = asked.next().unwrap_or(SERVERS);
    let tables = asked.next().unwrap_or(TABLES);
    let statements = asked.next().unwrap_or(STATEMENTS);
    let settings = [
        "pg_stat_statements.max=12000",
        "autovacuum=off",
        "max_locks_per_transaction=1024",
        "max_connections=200",
    ];
    let server = Disposable::start_with(&settings).await.expect("a server");
    let home = server.connect("postgres").await.expect("a session");
    home.batch_execute("CREATE EXTENSION pg_stat_statements")
        .await
        .expect("pg_stat_statements");
    eprintln!("creating {servers} databases of {tables} tables");
    for number in 0..servers {
        create_database(&server, &home, number, tables).await;
    }
    call_statements(&home, statements).await;
    let daemon = Daemon::start(&server, servers);
    let deadline = Instant::now() + Duration::from_secs(600);
    while looks(&home, servers).await < LOOKS {
        assert!(
            Instant::now() < deadline,
            "the daemon did not look at every server"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // the last look is still to be judged and written down
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (resident, most) = (daemon.megabytes("VmRSS"), daemon.megabytes("VmHWM"));
    println!("| servers | tables in each | statements | resident | at most |\n|---|---|---|---|---|");
    println!(
        "| {servers} | {tables} | {statements} | {:.0} MB | {:.0} MB |",
        resident.expect("the daemon's memory"),
        most.expect("the daemon's memory"),
    );
}
