//! The dashboard and the API of a running daemon, over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::daemon::Daemon;
use crate::harness::{Cluster, eventually};

/// An answer as a browser gets it, without compression.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// One request on a connection of its own.
pub fn request(address: &str, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    let host = if headers.contains("Host:") {
        String::new()
    } else {
        format!("Host: {address}\r\n")
    };
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}")
        .unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let body = match head.contains("transfer-encoding: chunked") {
        true => chunks(body),
        false => body.to_owned(),
    };
    Answer {
        status: head[9..12].parse().unwrap(),
        head: head.to_owned(),
        body,
    }
}

fn chunks(mut rest: &str) -> String {
    let mut out = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        out.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    out
}

pub fn get(address: &str, path: &str) -> Answer {
    request(address, "GET", path, "", "")
}

#[tokio::test]
async fn pages_and_api_of_one_daemon() {
    let cluster = Cluster::start(15).await;
    cluster
        .sql(
            "postgres",
            "CREATE TABLE \"<script>alert(1)</script>\" (a int PRIMARY KEY, b int);
             CREATE INDEX i1 ON \"<script>alert(1)</script>\" (b); CREATE INDEX i2 ON \"<script>alert(1)</script>\" (b)",
        )
        .await;
    let daemon = Daemon::start(&cluster.dsn("postgres", "postgres"), "");
    let address = daemon.address.clone();
    eventually("a finding", || async {
        !get(&address, "/api/v1/findings").json()["items"]
            .as_array()
            .unwrap()
            .is_empty()
    })
    .await;
    let list = get(&address, "/api/v1/findings").json();
    let finding = &list["items"][0];
    assert_eq!(finding["rule"], "index.duplicate");
    let fingerprint = finding["fingerprint"].as_str().unwrap();
    for path in [
        "/",
        "/findings",
        &format!("/findings/{fingerprint}"),
        "/rules",
        "/rules/index.duplicate",
        "/status",
    ] {
        let page = get(&address, path);
        assert_eq!(page.status, 200, "{path}");
        assert!(
            page.head.contains("content-security-policy: default-src 'self'"),
            "{path}"
        );
        assert!(!page.body.contains("<script>alert"), "{path}");
        assert!(
            !page.body.contains(" style=") && !page.body.contains(" onclick="),
            "{path}"
        );
    }
    assert_eq!(get(&address, "/findings/0000000000000000").status, 404);
    assert_eq!(get(&address, "/nothing").status, 404);
    let problem = get(&address, "/api/v1/findings?severity=terrible");
    assert_eq!(problem.status, 400);
    assert!(problem.head.contains("application/problem+json") && problem.body.contains("severity=terrible"));
    assert_eq!(get(&address, "/readyz").status, 200);
    assert!(get(&address, "/metrics").body.contains("pgadvisor_findings{"));
    let description = get(&address, "/api/v1/openapi.json").json();
    assert!(description["paths"]["/api/v1/findings/{fingerprint}/{action}"]["post"].is_object());
    caching_and_lines(&address);
    strangers_are_refused(&address, fingerprint);
    actions(&address, fingerprint).await;
}

fn caching_and_lines(address: &str) {
    let first = get(address, "/api/v1/rules");
    let etag = first
        .head
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap()
        .to_owned();
    let again = request(
        address,
        "GET",
        "/api/v1/rules",
        &format!("If-None-Match: {etag}\r\n"),
        "",
    );
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    let lines = request(
        address,
        "GET",
        "/api/v1/findings",
        "Accept: application/x-ndjson\r\n",
        "",
    );
    assert!(lines.head.contains("application/x-ndjson"));
    assert!(
        lines
            .body
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
}

fn strangers_are_refused(address: &str, fingerprint: &str) {
    let rebound = request(address, "GET", "/api/v1/findings", "Host: evil.example\r\n", "");
    assert_eq!(rebound.status, 421);
    let path = format!("/api/v1/findings/{fingerprint}/acknowledge");
    let foreign = request(address, "POST", &path, "Origin: https://evil.example\r\n", "");
    assert_eq!(foreign.status, 403);
    let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
    let form = request(
        address,
        "POST",
        &format!("/findings/{fingerprint}/acknowledge"),
        kind,
        "csrf=guess",
    );
    assert_eq!(form.status, 403);
    let large = request(address, "POST", &path, "", &"x".repeat(100_000));
    assert_eq!(large.status, 413);
    assert_eq!(
        get(address, &format!("/api/v1/findings/{fingerprint}")).json()["state"],
        "open"
    );
}

async fn actions(address: &str, fingerprint: &str) {
    let one = format!("/api/v1/findings/{fingerprint}");
    let state = || get(address, &one).json()["state"].as_str().unwrap().to_owned();
    let act =
        |action: &str, body: &str| request(address, "POST", &format!("{one}/{action}"), "", body).status;
    assert_eq!(act("acknowledge", "{\"comment\": \"known\"}"), 202);
    eventually("acknowledged", || async { state() == "acknowledged" }).await;
    assert_eq!(act("acknowledge", "{\"commend\": 1}"), 400);
    assert_eq!(act("explode", ""), 404);
    assert_eq!(
        act("snooze", "{\"until\": \"2001-01-01T00:00:00Z\"}"),
        409,
        "the past"
    );
    assert_eq!(act("false-positive", ""), 202);
    eventually("false positive", || async { state() == "false_positive" }).await;
    assert_eq!(act("reopen", ""), 202);
    eventually("open", || async { state() == "open" }).await;
    let feed = get(address, "/api/v1/events?after=0").json();
    let kinds: Vec<&str> = feed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "finding.opened",
            "finding.acknowledged",
            "finding.marked_false_positive",
            "finding.reopened"
        ]
    );
    assert_eq!(feed["items"][1]["actor"], "local");
}
