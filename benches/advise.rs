//! What index advice costs as the workload grows, in one run: `cargo bench --bench advise` (on Debian's PostgreSQL with
//! HypoPG; minutes), or for other numbers of statements: `cargo bench --bench advise -- 50 200`.
//!
//! 200 tables of 20 000 rows, and statements over one to three of them: equality, ranges, order with LIMIT, joins,
//! aggregates, updates. Seconds, questions to the planner, CPU of advisor and server, and peak memory for 100 and 1 000 of
//! them; growth should be no worse than that of their number. Then what advice costs where the daemon works it out, within its
//! budget (`advise/daemon.rs`; twelve minutes more, left out where other numbers are asked for).

#[path = "advise/daemon.rs"]
mod daemon;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pgadvisor::demo::Disposable;
use tokio_postgres::Client;

const TABLES: usize = 200;
const ROWS: usize = 20_000;

async fn create_tables(session: &Client) {
    for table in 0..TABLES {
        let sql = format!(
            "CREATE TABLE t{table} (id int PRIMARY KEY, parent int NOT NULL, kind int NOT NULL, at timestamptz NOT NULL,
                 amount numeric NOT NULL, name text NOT NULL);
             INSERT INTO t{table} SELECT n, n * 7 % {ROWS}, n % 50, timestamptz '2026-01-01' + n * interval '1 min',
                 n % 1000, 'name ' || n % 5000 FROM generate_series(1, {ROWS}) AS n"
        );
        session.batch_execute(&sql).await.expect("a table");
    }
    session
        .batch_execute("CREATE EXTENSION hypopg; ANALYZE")
        .await
        .expect("HypoPG");
}

/// The statement of that number: eight shapes over the tables in turn, with other columns each time round.
fn statement(number: usize) -> String {
    let (one, two, three) = (
        number % TABLES,
        (number * 31 + 7) % TABLES,
        (number * 17 + 3) % TABLES,
    );
    let filter = ["kind = $1", "parent = $1", "name = $1", "at > $1", "amount = $1"][number / 8 % 5];
    let order = ["at DESC", "amount", "name", "kind, at"][number / TABLES % 4];
    match number % 8 {
        0 => format!("SELECT name, amount FROM t{one} WHERE {filter}"),
        1 => format!("SELECT * FROM t{one} WHERE {filter} ORDER BY {order} LIMIT 20"),
        2 => format!("SELECT a.name, b.name FROM t{one} a JOIN t{two} b ON b.parent = a.id WHERE a.{filter}"),
        3 => format!("SELECT kind, sum(amount) FROM t{one} WHERE {filter} AND kind < 10 GROUP BY kind"),
        4 => format!(
            "SELECT count(*) FROM t{one} a JOIN t{two} b ON b.parent = a.id JOIN t{three} c ON c.parent = b.id WHERE a.{filter}"
        ),
        5 => format!(
            "SELECT name FROM t{one} a WHERE EXISTS (SELECT FROM t{two} b WHERE b.parent = a.id AND b.kind = 3) AND {filter}"
        ),
        6 => format!("UPDATE t{one} SET amount = amount + 1 WHERE {filter}"),
        _ => format!("SELECT max(at) FROM t{one} WHERE {filter}"),
    }
}

/// Seconds of CPU that a process had, all of its threads.
fn cpu_seconds(pid: u32) -> f64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0.0;
    };
    let of = |path: std::path::PathBuf| -> Option<f64> {
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
    };
    tasks.flatten().filter_map(|task| of(task.path())).sum()
}

fn peak_megabytes(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1000.0)
}

async fn measure(server: &Disposable, session: &Client, statements: usize) {
    let workload: Vec<String> = (0..statements).map(statement).collect();
    let file = server.folder().join("workload.sql");
    fs::write(&file, workload.join(";\n")).expect("the workload");
    let started = Instant::now();
    let mut advisor = Command::new(env!("CARGO_BIN_EXE_pgadvisor"))
        .args([
            "advise",
            &server.dsn("postgres", "postgres"),
            "--format",
            "json",
            "--workload",
        ])
        .arg(&file)
        .stdout(Stdio::from(
            fs::File::create(server.folder().join("advice.json")).expect("a file"),
        ))
        .spawn()
        .expect("the advisor");
    let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgadvisor'";
    let (mut own, mut backend, mut memory) = (0.0_f64, 0.0_f64, 0.0_f64);
    let mut backend_pid = None;
    // what a process used is there for as long as it lives
    while advisor.try_wait().expect("the advisor").is_none() {
        if backend_pid.is_none() {
            let rows = session.query(sql, &[]).await.expect("sessions");
            backend_pid = rows.first().map(|row| row.get::<_, i32>(0));
        }
        own = own.max(cpu_seconds(advisor.id()));
        memory = memory.max(peak_megabytes(advisor.id()).unwrap_or(0.0));
        backend = backend.max(backend_pid.map_or(0.0, |pid| cpu_seconds(pid as u32)));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    let text = fs::read_to_string(server.folder().join("advice.json")).expect("the advice");
    let advice: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let totals = &advice["workload"];
    let number = |name: &str| totals[name].as_f64().unwrap_or(f64::NAN);
    println!(
        "| {statements} | {} | {:.2} | {:.1} | {seconds:.1} s | {own:.1} s | {backend:.1} s | {memory:.0} MB |",
        advice["indexes"].as_array().map_or(0, Vec::len),
        number("cost_after") / number("cost_before"),
        number("what_if_calls") / statements as f64,
    );
}

#[tokio::main]
async fn main() {
    let server = Disposable::start_with(&["autovacuum=off"])
        .await
        .expect("a server");
    let session = server.connect("postgres").await.expect("a session");
    eprintln!("creating {TABLES} tables");
    create_tables(&session).await;
    println!(
        "| statements | indexes | cost | calls per statement | time | advisor CPU | server CPU | peak memory |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    // cargo passes options of its own, too
    let asked: Vec<usize> = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let is_usual = asked.is_empty();
    for statements in if is_usual { vec![100, 1_000] } else { asked } {
        measure(&server, &session, statements).await;
    }
    if is_usual {
        daemon::measure(&server, &session, 1_000).await;
    }
}
