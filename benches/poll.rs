//! What watching costs, as ratios in one run: `cargo bench --bench poll` (on Debian's PostgreSQL; minutes), or of other
//! numbers of tables than below: `cargo bench --bench poll -- 100 500`.
//!
//! For 100, 1 000 and 10 000 tables with three indexes each and 10 000 statements: CPU of the backend for one poll of the
//! advisor against the floor (the fewest columns by the cheapest functions, asked by a plain session just as often), CPU
//! and memory of the advisor, all of that with a poll each second; then, with the polls of a default configuration, the
//! slowest of a hundred answers of page and API with 50 clients (the median of three rounds, beside that of an answer that
//! says nothing); and `check`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pgadvisor::demo::Disposable;
use tokio_postgres::Client;

const STATEMENTS: usize = 10_000;
const POLLS: u32 = 10;
/// Answers that each of 50 clients waits for: for ten seconds and more, so that answers are made anew meanwhile.
const ANSWERS: usize = 200;
/// Between two polls that are measured.
const EVERY: Duration = Duration::from_secs(1);

/// The floor of a poll: only what the rules need, by the cheapest functions.
const FLOOR: [&str; 3] = [
    "SELECT userid, dbid, queryid, calls, total_exec_time, stddev_exec_time, rows, shared_blks_hit, shared_blks_read, \
     temp_blks_written FROM pg_stat_statements(false) WHERE toplevel",
    "SELECT oid, pg_stat_get_numscans(oid), pg_stat_get_live_tuples(oid), pg_stat_get_dead_tuples(oid), \
     greatest(pg_stat_get_last_autovacuum_time(oid), pg_stat_get_last_vacuum_time(oid)) \
     FROM pg_class WHERE relkind IN ('r', 'm') AND oid >= 16384",
    "SELECT oid, pg_stat_get_numscans(oid) FROM pg_class WHERE relkind = 'i' AND oid >= 16384",
];

/// Nanoseconds of CPU that a process had, all of its threads.
fn cpu_nanoseconds(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .map(|tasks| tasks.flatten().collect())
        .unwrap_or(Vec::new());
    let of = |task: &fs::DirEntry| -> Option<u64> {
        fs::read_to_string(task.path().join("schedstat"))
            .ok()?
            .split(' ')
            .next()?
            .parse()
            .ok()
    };
    tasks.iter().filter_map(of).sum()
}

fn resident_megabytes(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok())
        .unwrap_or(0.0)
        / 1000.0
}

/// Tables with three indexes each, of which two are the same in every twentieth.
async fn create_tables(session: &Client, from: usize, to: usize) {
    for number in from..to {
        let third = if number % 20 == 0 { "b" } else { "a, b" };
        let sql = format!(
            "CREATE TABLE t{number} (id int PRIMARY KEY, a int, b int); \
             CREATE INDEX t{number}_b ON t{number} (b); CREATE INDEX t{number}_c ON t{number} ({third})"
        );
        session.batch_execute(&sql).await.expect("a table");
    }
}

/// Statements that differ, with texts of 0.3 to 5 kB.
async fn call_statements(session: &Client) {
    let functions = ["abs(1)", "sign(1)"];
    for number in 0..STATEMENTS {
        let columns: Vec<&str> = (0..14).map(|bit| functions[number >> bit & 1]).collect();
        // names of columns, 50 bytes each: comments are not kept
        let padding = format!(", current_role AS \"{}\"", "x".repeat(30)).repeat(6 + number % 48 * 2);
        session
            .batch_execute(&format!("SELECT {}{padding}", columns.join(", ")))
            .await
            .expect("a statement");
    }
}

struct Daemon {
    process: Child,
    address: String,
}

impl Daemon {
    fn start(server: &Disposable, poll_every: &str, more: &str) -> Self {
        let folder = server
            .folder()
            .join(format!("bench-{}", Instant::now().elapsed().as_nanos()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a folder");
        let listen = "127.0.0.1:18432";
        let text = format!(
            "[web]\nlisten = \"{listen}\"\n[budget]\nown_cost_ratio = 1.0\n[[servers]]\nname = \"bench\"\ndsn = \"{}\"\n\
             poll_every = \"{poll_every}\"\ncatalog_every = \"1 h\"\n{more}",
            server.dsn("postgres", "postgres")
        );
        let config = folder.join("config.toml");
        fs::write(&config, text).expect("a configuration");
        let process = Command::new(env!("CARGO_BIN_EXE_pgadvisor"))
            .args(["run", "--config"])
            .arg(&config)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .spawn()
            .expect("the daemon");
        Self {
            process,
            address: listen.to_owned(),
        }
    }

    /// Waits for its first looks.
    async fn is_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while self.get("/readyz").is_none() {
            assert!(Instant::now() < deadline, "the daemon did not look");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }

    fn get(&self, path: &str) -> Option<usize> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n",
            self.address
        )
        .ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        bytes.starts_with(b"HTTP/1.1 200").then_some(bytes.len())
    }

    /// The 99th percentile in milliseconds, with 50 clients at once, each asking again when it was answered.
    fn p99_milliseconds(&self, path: &str) -> (f64, usize) {
        let mut times: Vec<(f64, usize)> = std::thread::scope(|scope| {
            let client = || {
                (0..ANSWERS)
                    .filter_map(|_| {
                        let started = Instant::now();
                        let size = self.get(path)?;
                        // people think between two pages
                        let elapsed = started.elapsed().as_secs_f64() * 1000.0;
                        std::thread::sleep(Duration::from_millis(50));
                        Some((elapsed, size))
                    })
                    .collect::<Vec<_>>()
            };
            let clients: Vec<_> = (0..50).map(|_| scope.spawn(client)).collect();
            clients
                .into_iter()
                .flat_map(|client| client.join().unwrap_or_default())
                .collect()
        });
        assert!(
            times.len() >= 50 * ANSWERS * 95 / 100,
            "{path}: only {} of {} were answered",
            times.len(),
            50 * ANSWERS
        );
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        times[times.len() * 99 / 100]
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// CPU of one floor poll, in milliseconds: the least of several, as nothing makes it cheaper than it is.
async fn floor_milliseconds(session: &Client) -> f64 {
    let pid: i32 = session
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .expect("a pid")
        .get(0);
    let before = cpu_nanoseconds(pid as u32);
    for _ in 0..POLLS {
        // as far apart as the polls are: what has just run is cheaper, as the caches are still full of it
        tokio::time::sleep(EVERY).await;
        for sql in FLOOR {
            session.query_typed(sql, &[]).await.expect("the floor");
        }
    }
    (cpu_nanoseconds(pid as u32) - before) as f64 / 1e6 / f64::from(POLLS)
}

async fn polls(session: &Client) -> i64 {
    // what only a poll asks, once
    let sql = "SELECT coalesce(sum(calls), 0)::int8 FROM pg_stat_statements WHERE query LIKE '%pgadvisor%pg_postmaster_start_time%'";
    session.query_one(sql, &[]).await.expect("polls").get(0)
}

/// CPU of one poll of the daemon, of the backend and of itself, in milliseconds.
async fn poll_milliseconds(session: &Client, daemon: &Daemon) -> (f64, f64) {
    let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgadvisor'";
    // one looks, and one samples what sessions do every five seconds: both are the price
    let rows = session.query(sql, &[]).await.expect("the sessions of the daemon");
    let pids: Vec<u32> = rows.iter().map(|row| row.get::<_, i32>(0) as u32).collect();
    let read = || {
        let backends = pids.iter().map(|pid| cpu_nanoseconds(*pid)).sum::<u64>();
        (backends, cpu_nanoseconds(daemon.process.id()))
    };
    let (from, before) = (polls(session).await, read());
    let mut done = 0;
    while done < i64::from(POLLS) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        done = polls(session).await - from;
    }
    let after = read();
    let each = |before: u64, after: u64| (after - before) as f64 / 1e6 / done as f64;
    (each(before.0, after.0), each(before.1, after.1))
}

async fn measure(server: &Disposable, tables: usize) {
    let session = server.connect("postgres").await.expect("a session");
    // index advice is worked out once an hour beside the polls, and is no part of one
    let daemon = Daemon::start(server, "1 s", "[rules.index.missing]\nenabled = false\n");
    daemon.is_ready().await;
    // floor and poll by turns, so that both meet the same machine
    let (mut floor, mut backend, mut own) = (f64::MAX, f64::MAX, f64::MAX);
    for _ in 0..3 {
        floor = floor.min(floor_milliseconds(&session).await);
        let (one, other) = poll_milliseconds(&session, &daemon).await;
        (backend, own) = (backend.min(one), own.min(other));
    }
    let memory = resident_megabytes(daemon.process.id());
    drop(daemon);
    let daemon = Daemon::start(server, "1 min", "");
    daemon.is_ready().await;
    // by turns with an answer that says nothing, which shows what clients and machine take of it
    let mut turns = [const { Vec::new() }; 3];
    for _ in 0..3 {
        for (path, taken) in ["/healthz", "/findings", "/api/v1/findings"]
            .iter()
            .zip(&mut turns)
        {
            taken.push(daemon.p99_milliseconds(path));
        }
    }
    let [(nothing, _), (page, page_size), (api, _)] = turns.map(|mut taken| {
        taken.sort_by(|a, b| a.0.total_cmp(&b.0));
        taken[1]
    });
    let memory = memory.max(resident_megabytes(daemon.process.id()));
    drop(daemon);
    let started = Instant::now();
    let checked = Command::new(env!("CARGO_BIN_EXE_pgadvisor"))
        .args(["check", &server.dsn("postgres", "postgres"), "--fail-on", "never"])
        .output()
        .expect("check");
    assert!(checked.status.success());
    println!(
        "| {tables} | {floor:.0} ms | {backend:.0} ms | {:.2} | {own:.0} ms | {memory:.0} MB | {nothing:.1} ms | {page:.1} ms, {} kB | {api:.1} ms | {:.2} s |",
        backend / floor,
        page_size / 1000,
        started.elapsed().as_secs_f64(),
    );
}

#[tokio::main]
async fn main() {
    let settings = [
        "pg_stat_statements.max=12000",
        "autovacuum=off",
        "max_locks_per_transaction=1024",
    ];
    let server = Disposable::start_with(&settings).await.expect("a server");
    let session = server.connect("postgres").await.expect("a session");
    session
        .batch_execute("CREATE EXTENSION pg_stat_statements")
        .await
        .expect("pg_stat_statements");
    eprintln!("calling {STATEMENTS} statements");
    call_statements(&session).await;
    println!(
        "| tables | floor, backend CPU | poll, backend CPU | ratio | advisor CPU | memory | /healthz p99 | page p99 | API p99 | check |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    // cargo passes options of its own, too
    let asked: Vec<usize> = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let sizes = if asked.is_empty() {
        vec![100, 1000, 10_000]
    } else {
        asked
    };
    let mut there = 0;
    for tables in sizes {
        eprintln!("creating {} tables", tables - there);
        session
            .batch_execute("SET pg_stat_statements.track = none")
            .await
            .expect("a setting");
        create_tables(&session, there, tables).await;
        there = tables;
        session.batch_execute("ANALYZE").await.expect("ANALYZE");
        measure(&server, tables).await;
    }
}
