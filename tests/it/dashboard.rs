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
    // each of them refuses a parameter that it does not know
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, asked) in methods.as_object().unwrap() {
            assert!(asked["responses"]["400"].is_object(), "{method} {path}");
        }
    }
    assert_eq!(get(&address, "/api/v1/events?after=-5").status, 200);
    assert_eq!(get(&address, "/api/v1/events?after=x").status, 400);
    assert_eq!(get(&address, "/api/v1/status?a=b").status, 400);
    caching_and_lines(&address);
    strangers_are_refused(&address, fingerprint);
    refusals_are_told_in_plain_words(&address, fingerprint);
    actions(&address, fingerprint).await;
    forms_are_read_strictly(&address, fingerprint);
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
    for host in [
        "evil.example",
        "127.0.0.1:8532@evil",
        "127.0.0.1\r\nHost: evil.example",
    ] {
        let rebound = request(
            address,
            "GET",
            "/api/v1/findings",
            &format!("Host: {host}\r\n"),
            "",
        );
        assert_eq!(rebound.status, 421, "{host}");
    }
    let path = format!("/api/v1/findings/{fingerprint}/acknowledge");
    for origin in [
        "https://evil.example",
        "http://127.0.0.1:9999",
        "http://localhost",
        "null",
    ] {
        let foreign = request(address, "POST", &path, &format!("Origin: {origin}\r\n"), "");
        assert_eq!(foreign.status, 403, "{origin}");
    }
    let own = format!("Origin: http://{address}\r\n");
    let own = request(address, "POST", &path.replace("acknowledge", "reopen"), &own, "");
    assert_eq!(own.status, 409, "let in, and open already");
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

fn refusals_are_told_in_plain_words(address: &str, fingerprint: &str) {
    let one = format!("/api/v1/findings/{fingerprint}");
    let long = format!("{{\"comment\": \"{}\"}}", "x".repeat(1001));
    let cases = [
        (
            "POST",
            format!("{one}/acknowledge"),
            "x".repeat(100_000),
            413,
            "larger than 64 KiB",
        ),
        (
            "DELETE",
            one.clone(),
            String::new(),
            405,
            "does not take DELETE, but: GET",
        ),
        (
            "GET",
            "/api/v1/findings?severty=critical".into(),
            String::new(),
            400,
            "did you mean \\\"severity\\\"?",
        ),
        (
            "GET",
            "/api/v1/findings?limit=0".into(),
            String::new(),
            400,
            "limit=0: 1 to 1000",
        ),
        (
            "GET",
            "/api/v1/events?limit=0".into(),
            String::new(),
            400,
            "limit=0: 1 to 1000",
        ),
        (
            "GET",
            "/api/v1/events?limit=1001".into(),
            String::new(),
            400,
            "limit=1001: 1 to 1000",
        ),
        (
            "GET",
            "/api/v1/events?after=x".into(),
            String::new(),
            400,
            "after=x: the sequence of an event",
        ),
        (
            "GET",
            "/api/v1/rules?x=1".into(),
            String::new(),
            400,
            "unknown query parameter",
        ),
        (
            "GET",
            format!("{one}%ff"),
            String::new(),
            400,
            "the address cannot be read",
        ),
        (
            "POST",
            format!("{one}/snooze"),
            "{\"until\": \"2001-01-01T00:00:00Z\"}".into(),
            400,
            "in the future",
        ),
        (
            "POST",
            format!("{one}/snooze"),
            "{\"until\": 5}".into(),
            400,
            "until must be a time",
        ),
        (
            "POST",
            format!("{one}/snooze"),
            "[]".into(),
            400,
            "it must be an object",
        ),
        (
            "POST",
            format!("{one}/snooze"),
            long,
            400,
            "1001 characters: at most 1000",
        ),
        (
            "GET",
            "/assets/nothing".into(),
            String::new(),
            404,
            "no such file",
        ),
    ];
    for (method, path, body, status, words) in cases {
        let answer = request(address, method, &path, "", &body);
        let whole = format!("{method} {path}: {} {}", answer.head, answer.body);
        assert_eq!(answer.status, status, "{whole}");
        assert!(answer.head.contains("application/problem+json"), "{whole}");
        assert_eq!(answer.json()["status"], status, "{whole}");
        assert!(answer.body.contains(words), "{whole}");
        for word in ["i64", "struct", "eserialize"] {
            assert!(!answer.body.contains(word), "{whole}");
        }
    }
    let allowed = request(address, "DELETE", &one, "", "");
    assert!(allowed.head.contains("allow: GET"), "{}", allowed.head);
    let page = request(address, "DELETE", "/findings", "Accept: text/html\r\n", "");
    assert!(page.status == 405 && page.body.contains("<h1>This address does not take DELETE"));
    assert_eq!(get(address, "/findings?severty=critical").status, 400);
    assert_eq!(get(address, &one).json()["state"], "open");
}

fn forms_are_read_strictly(address: &str, fingerprint: &str) {
    let page = format!("/findings/{fingerprint}");
    let body = get(address, &page).body;
    let token = body
        .split("name=\"csrf\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let send = |action: &str, fields: &str| {
        request(
            address,
            "POST",
            &format!("{page}/{action}"),
            form,
            &format!("csrf={token}&{fields}"),
        )
    };
    for days in ["abc", "0", "-1", "3651", "1.5", ""] {
        let answer = send("snooze", &format!("until_days={days}"));
        assert!(
            answer.status == 400 && answer.body.contains("1 to 3650 days"),
            "{days}: {}",
            answer.body
        );
    }
    let long = send("acknowledge", &format!("comment={}", "x".repeat(1001)));
    assert!(long.status == 400 && long.body.contains("at most 1000"));
    assert_eq!(get(address, &format!("/api/v1{page}")).json()["state"], "open");
    // as a browser sends what it let a person type
    let full = format!("comment={}%0D%0A", "x".repeat(999));
    assert!(get(address, &format!("/api/v1{page}")).json()["state"] == "open");
    let taken = send("snooze", &format!("{full}&until_days=1"));
    assert_eq!(taken.status, 303, "{}", taken.body);
    assert!(
        taken
            .head
            .contains(&format!("location: ../../findings/{fingerprint}")),
        "{}",
        taken.head
    );
    assert_eq!(send("reopen", "").status, 303);
}

/// The addresses that a page names in `href`, `src` and `action`, as a browser resolves them at that path.
pub fn links(page: &str, path: &str) -> Vec<String> {
    let folder = &path[..=path.rfind('/').unwrap()];
    let mut found = Vec::new();
    for attribute in ["href=\"", "src=\"", "action=\""] {
        for link in page.split(attribute).skip(1) {
            let link = link.split('"').next().unwrap().split(['?', '#']).next().unwrap();
            assert!(
                !link.starts_with('/') && !link.contains("://"),
                "{link} at {path}"
            );
            let mut parts: Vec<&str> = folder
                .trim_matches('/')
                .split('/')
                .filter(|part| !part.is_empty())
                .collect();
            let is_folder = link.ends_with('/') || link.ends_with('.');
            for part in link.split('/').filter(|part| !part.is_empty()) {
                match part {
                    "." => {}
                    ".." => drop(parts.pop()),
                    part => parts.push(part),
                }
            }
            let end = if is_folder && !parts.is_empty() { "/" } else { "" };
            if !link.is_empty() {
                found.push(format!("/{}{end}", parts.join("/")));
            }
        }
    }
    found
}

#[tokio::test]
async fn the_dashboard_is_whole_under_its_public_path_and_at_its_own_address() {
    let cluster = Cluster::start(15).await;
    let public = "public_url = \"https://db.example.org/advisor\"";
    let daemon = Daemon::start_at(public, &cluster.dsn("postgres", "postgres"), "");
    let address = daemon.address.clone();
    // nobody takes the path away; the proxy does; and somebody on the machine itself
    for (host, mount) in [
        ("Host: db.example.org\r\n", "/advisor"),
        ("Host: db.example.org\r\n", ""),
        ("", ""),
    ] {
        for page in [
            "/",
            "/findings",
            "/rules/index.unused",
            "/status",
            "/nothing/at/all",
        ] {
            let path = format!("{mount}{page}");
            let answer = request(&address, "GET", &path, host, "");
            let status = if page.starts_with("/nothing") { 404 } else { 200 };
            assert_eq!(answer.status, status, "{path}");
            let links = links(&answer.body, &path);
            assert!(
                links.contains(&format!("{mount}/assets/style.css")),
                "{path}: {links:?}"
            );
            for link in links {
                let status = request(&address, "GET", &link, host, "").status;
                assert!(status == 200 || status == 405, "{link} on {path}: {status}");
            }
        }
        let script = request(&address, "GET", &format!("{mount}/api/v1/findings"), host, "");
        assert!(script.json()["items"].is_array());
    }
    let bare = request(&address, "GET", "/advisor?a=1", "", "");
    assert!(
        bare.status == 308 && bare.head.contains("location: /advisor/?a=1"),
        "{}",
        bare.head
    );
    let post = |host: &str, origin: &str| {
        let headers = format!("Host: {host}\r\nOrigin: {origin}\r\n");
        request(
            &address,
            "POST",
            "/advisor/api/v1/findings/0000000000000000/reopen",
            &headers,
            "",
        )
        .status
    };
    assert_eq!(post("db.example.org", "https://db.example.org"), 404, "let in");
    assert_eq!(
        post(&address, "https://db.example.org"),
        404,
        "a proxy that names us by our own address"
    );
    assert_eq!(post("db.example.org", "http://db.example.org"), 403);
    assert_eq!(post("db.example.org", "https://db.example.org:8443"), 403);
}

#[tokio::test]
async fn silence_is_well_only_where_everything_was_seen() {
    let cluster = Cluster::start(15).await;
    let dsn = cluster.dsn("postgres", "postgres");
    let has_tick = |page: &Answer| page.body.contains("class=\"seal\"");
    let seen = |daemon: &Daemon| {
        let address = daemon.address.clone();
        async move { eventually("a look", || async { get(&address, "/readyz").status == 200 }).await }
    };
    let young = Daemon::start(&dsn, "");
    seen(&young).await;
    eventually("all is well but for what waits", || async {
        let page = get(&young.address, "/");
        has_tick(&page)
            && page.body.contains("Nothing needs you.")
            && page.body.contains("wait</a> for more time")
    })
    .await;
    assert!(has_tick(&get(&young.address, "/findings")));
    drop(young);
    cluster.sql("postgres", "DROP EXTENSION pg_stat_statements").await;
    let blind = Daemon::start(&dsn, "");
    seen(&blind).await;
    for (path, words) in [
        (
            "/",
            "Nothing was found in what could be judged; 14 rules could not be.",
        ),
        ("/", "the extension pg_stat_statements is not installed"),
        ("/findings", "Nothing was found in what could be judged."),
        (
            "/findings",
            "index.missing, pgss.eviction, query.cache_miss, query.count_all, query.heavy_rare, query.large_result, \
             query.leading_wildcard, query.matview_candidate, query.n_plus_one, query.offset_pagination, query.slow_mean, \
             query.temp_spill, query.time_share, query.unstable",
        ),
    ] {
        let page = get(&blind.address, path);
        assert!(
            !has_tick(&page) && page.body.contains(words),
            "{path}: {}",
            page.body
        );
    }
    let lost = Daemon::start("host=127.0.0.1 port=1 user=u", "");
    eventually("it was tried", || async {
        get(&lost.address, "/").body.contains("was never reached")
    })
    .await;
    for (path, words) in [
        ("/", "Nothing is known yet: main was never reached."),
        ("/findings", "Nothing is known yet."),
        ("/findings", "Never seen: main."),
    ] {
        let page = get(&lost.address, path);
        assert!(
            !has_tick(&page) && page.body.contains(words),
            "{path}: {}",
            page.body
        );
    }
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
        400,
        "the past"
    );
    assert_eq!(act("acknowledge", ""), 409, "it does not fit the state");
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

#[tokio::test]
async fn what_sessions_wait_for_is_sampled_kept_and_shown() {
    let cluster = Cluster::start(15).await;
    cluster.sql("postgres", "CREATE TABLE waited_for (a int)").await;
    let holder = cluster.connect("postgres").await;
    holder
        .batch_execute("BEGIN; LOCK TABLE waited_for")
        .await
        .unwrap();
    let waiter = cluster.connect("postgres").await;
    let waiting = tokio::spawn(async move { waiter.batch_execute("SELECT count(*) FROM waited_for").await });
    let daemon = Daemon::start(&cluster.dsn("postgres", "postgres"), "sample_every = \"1 s\"");
    let path = "/servers/main/activity?range=1h";
    eventually("the wait is in the API", || async {
        let seen = get(&daemon.address, &format!("/api/v1{path}")).json();
        seen["waits"]["most"][0]["event"] == "Lock: relation"
    })
    .await;
    let page = get(&daemon.address, path).body;
    assert!(
        page.contains("Lock: relation") && page.contains("class=\"wait-1\""),
        "{page}"
    );
    assert_eq!(
        get(&daemon.address, "/servers/main/activity?range=30d").status,
        400
    );
    holder.batch_execute("COMMIT").await.unwrap();
    waiting.await.unwrap().unwrap();
}
