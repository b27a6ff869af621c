//! What index advice costs a server that the daemon watches, as it is by default: it pauses after each question to the planner,
//! and ends where the budget does. The CPU of all its sessions over the time that went by, beside what it tells of itself.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pgadvisor::demo::Disposable;
use serde_json::Value;
use tokio_postgres::Client;

use super::{cpu_seconds, statement};

/// It waits for a minute of statements, and the budget of its first ten minutes is that of ten minutes.
const MINUTES: u64 = 12;

struct Daemon {
    process: Child,
    address: String,
}

impl Daemon {
    fn start(server: &Disposable) -> Self {
        let folder = server.folder().join("bench-daemon");
        fs::create_dir(&folder).expect("a folder");
        let dsn = server.dsn("postgres", "postgres");
        let text = format!(
            "[web]\nlisten = \"127.0.0.1:0\"\n[[servers]]\nname = \"bench\"\ndsn = \"{dsn}\"\nplanner_dsn = \"{dsn}\"\n"
        );
        let config = folder.join("config.toml");
        fs::write(&config, text).expect("a configuration");
        let mut process = Command::new(env!("CARGO_BIN_EXE_pgadvisor"))
            .args(["run", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon");
        let mut lines = BufReader::new(process.stderr.take().expect("its log")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("http://")?.1.trim_end_matches('/').to_owned()))
            .expect("the address in its log");
        // somebody has to read the log, or the daemon would wait for a place to write
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address }
    }

    fn get(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(&self.address).expect("the daemon");
        // this version knows no chunks
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).expect("a question");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).expect("JSON")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// Calls so many statements, so that pg_stat_statements has them.
async fn call(session: &Client, statements: usize) {
    let extension = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements; SELECT pg_stat_statements_reset()";
    session
        .batch_execute(extension)
        .await
        .expect("pg_stat_statements");
    for number in 0..statements {
        let text = statement(number);
        let value = if text.contains("name = $1") {
            "'name 7'"
        } else if text.contains("at > $1") {
            "'2026-01-14'"
        } else {
            "7"
        };
        let text = text.replace("$1", value);
        session.batch_execute(&text).await.expect("a statement");
    }
}

/// Seconds of CPU of all sessions of the daemon's, looked at ten times a second for some time.
async fn watched(session: &Client, time: Duration) -> f64 {
    let sql = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'pgadvisor%'";
    let mut sessions: HashMap<i32, f64> = HashMap::new();
    let began = Instant::now();
    // what a process used is there for as long as it lives
    while began.elapsed() < time {
        for row in session.query(sql, &[]).await.expect("sessions") {
            let pid: i32 = row.get(0);
            let used = sessions.entry(pid).or_default();
            *used = used.max(cpu_seconds(pid as u32));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    sessions.values().sum()
}

/// Prints a table of one line.
pub async fn measure(server: &Disposable, session: &Client, statements: usize) {
    eprintln!("calling {statements} statements, and watching the daemon for {MINUTES} minutes");
    call(session, statements).await;
    let daemon = Daemon::start(server);
    let time = Duration::from_secs(60 * MINUTES);
    let used = watched(session, time).await;
    let status = daemon.get("/api/v1/status");
    let told = &status["servers"][0];
    let percent = |name: &str| told[name].as_f64().unwrap_or(f64::NAN) * 100.0;
    let families = told["families"].as_array();
    let mut families = families.into_iter().flatten();
    let advice = families.find(|family| family["family"] == "advice");
    let advice_seconds = advice.and_then(|family| family["seconds_last_hour"].as_f64());
    let found = daemon.get("/api/v1/findings?rule=index.missing&limit=1000");
    println!(
        "\n| the daemon, {statements} statements | indexes found missing | server CPU of its sessions | share of one core | \
         share as it tells | its budget | of that it took for advice |"
    );
    println!("|---|---|---|---|---|---|---|");
    println!(
        "| {MINUTES} minutes | {} | {used:.1} s | {:.2} % | {:.2} % | {:.2} % | {:.1} s |",
        found["items"].as_array().map_or(0, Vec::len),
        used / time.as_secs_f64() * 100.0,
        percent("own_cost_ratio"),
        percent("budget_ratio"),
        advice_seconds.unwrap_or(0.0),
    );
}
