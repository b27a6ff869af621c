//! What watching many servers takes of memory: `cargo bench --bench servers` (on Debian's PostgreSQL; minutes), or with
//! other numbers of servers, of tables in each, and of statements: `cargo bench --bench servers -- 5 1000 1000`.
//!
//! Ten servers with a database of 1 000 tables with three indexes each, and 1 000 statements with texts of 0.3 to 5 kB.
//! Resident memory after each was looked at five times, with what a default configuration does but for looks each ten
//! seconds, and the most that there was.

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

/// A server with so many tables of three indexes each, and a session on it.
async fn start(tables: usize, statements: usize) -> (Disposable, Client) {
    let settings = ["pg_stat_statements.max=12000", "autovacuum=off"];
    let server = Disposable::start_with(&settings).await.expect("a server");
    let session = server.connect("postgres").await.expect("a session");
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
    session
        .batch_execute("ANALYZE; RESET pg_stat_statements.track")
        .await
        .expect("ANALYZE");
    call_statements(&session, statements).await;
    (server, session)
}

/// Statements that differ, with texts of 0.3 to 5 kB.
async fn call_statements(session: &Client, statements: usize) {
    let functions = ["abs(1)", "sign(1)"];
    for number in 0..statements {
        let columns: Vec<&str> = (0..14).map(|bit| functions[number >> bit & 1]).collect();
        // names of columns, 50 bytes each: comments are not kept
        let padding = format!(", current_role AS \"{}\"", "x".repeat(30)).repeat(6 + number % 48 * 2);
        session
            .batch_execute(&format!("SELECT {}{padding}", columns.join(", ")))
            .await
            .expect("a statement");
    }
}

struct Daemon(Child);

impl Daemon {
    fn start(servers: &[(Disposable, Client)]) -> Self {
        let folder = servers[0].0.folder().join("bench-servers");
        fs::create_dir(&folder).expect("a folder");
        let one = |(number, (server, _)): (usize, &(Disposable, Client))| {
            let dsn = server.dsn("postgres", "postgres");
            format!("[[servers]]\nname = \"s{number}\"\ndsn = \"{dsn}\"\npoll_every = \"10 s\"\n")
        };
        let all: String = servers.iter().enumerate().map(one).collect();
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

/// Looks at a server, by what only a look asks, once.
async fn looks(session: &Client) -> i64 {
    let sql = "SELECT coalesce(sum(calls), 0)::int8 FROM pg_stat_statements
               WHERE query LIKE '%pgadvisor%pg_postmaster_start_time%'";
    session.query_one(sql, &[]).await.expect("looks").get(0)
}

#[tokio::main]
async fn main() {
    // cargo passes options of its own, too
    let mut asked = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let servers = asked.next().unwrap_or(SERVERS);
    let tables = asked.next().unwrap_or(TABLES);
    let statements = asked.next().unwrap_or(STATEMENTS);
    eprintln!("starting {servers} servers of {tables} tables");
    let mut started = Vec::new();
    for _ in 0..servers {
        started.push(start(tables, statements).await);
    }
    let daemon = Daemon::start(&started);
    let deadline = Instant::now() + Duration::from_secs(600);
    for (_, session) in &started {
        while looks(session).await < LOOKS {
            assert!(
                Instant::now() < deadline,
                "the daemon did not look at every server"
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
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
