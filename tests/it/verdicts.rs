//! What may be said of a server that is known: a table of what is true of it. Whatever else is a warning or critical is a
//! false alarm.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::dashboard::get;
use crate::harness::eventually_within;

/// Something that is true of a server.
pub struct Truth {
    rule: &'static str,
    /// The thing with its schema; of a statement a part of its text; empty where the whole server is meant.
    of: &'static str,
    must_be_said: bool,
}

/// What has to be said, however severe it is found to be.
pub const fn must(rule: &'static str, of: &'static str) -> Truth {
    Truth {
        rule,
        of,
        must_be_said: true,
    }
}

/// What is true as well, while it depends on the machine or on time whether it is enough to be said.
pub const fn may(rule: &'static str, of: &'static str) -> Truth {
    Truth {
        rule,
        of,
        must_be_said: false,
    }
}

impl Truth {
    fn is_said_by(&self, finding: &Value) -> bool {
        let is_it = match finding["object"]["kind"].as_str() {
            Some("statement") => text(&finding["evidence"]["statement"]).contains(self.of),
            _ => name(finding) == self.of,
        };
        finding["rule"] == self.rule && is_it
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a finding is about, with its schema.
fn name(finding: &Value) -> String {
    let object = &finding["object"];
    match object["schema"].as_str() {
        Some(schema) => format!("{schema}.{}", text(&object["name"])),
        None => text(&object["name"]).to_owned(),
    }
}

fn items(address: &str, path: &str) -> Vec<Value> {
    let page = get(address, path).json();
    page["items"].as_array().expect("a page of items").clone()
}

/// The findings that are open now.
pub fn open(address: &str) -> Vec<Value> {
    items(address, "/api/v1/findings?limit=1000")
}

/// What must be said of a server by that name and is not, for people.
pub fn unsaid(address: &str, server: &str, truths: &[Truth]) -> Vec<String> {
    let open = open(address);
    let is_said = |truth: &&Truth| {
        open.iter()
            .any(|finding| finding["server"] == server && truth.is_said_by(finding))
    };
    let unsaid = truths
        .iter()
        .filter(|truth| truth.must_be_said && !is_said(truth));
    unsaid
        .map(|truth| format!("{server}: {} of {}", truth.rule, truth.of))
        .collect()
}

/// What was ever said, and is a warning or critical, and is not true, for people.
pub fn false_alarms(address: &str, truths: &[Truth]) -> BTreeSet<String> {
    let events = items(address, "/api/v1/events?limit=1000");
    let told = events.iter().map(|event| event["finding"].clone());
    let known = items(address, "/api/v1/findings?state=all&limit=1000");
    told.chain(known)
        .filter(|finding| finding["severity"] != "info")
        .filter(|finding| !truths.iter().any(|truth| truth.is_said_by(finding)))
        .map(|finding| {
            let [server, severity, rule, title] =
                ["server", "severity", "rule", "title"].map(|key| text(&finding[key]));
            format!("{server}: {severity}: {rule} of {}: {title}", name(&finding))
        })
        .collect()
}

/// Waits until nothing is left, and says what is when that lasts too long.
pub async fn until_nothing_is_left(patience: Duration, mut left: impl FnMut() -> Vec<String>) {
    let deadline = Instant::now() + patience;
    loop {
        let left = left();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "waited in vain for: {left:#?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// When each server was last seen.
fn seen(address: &str) -> Vec<Value> {
    let status = get(address, "/api/v1/status").json();
    let servers = status["servers"].as_array().expect("servers");
    servers
        .iter()
        .map(|server| server["last_seen_at"].clone())
        .collect()
}

/// Waits until each server was looked at twice more.
pub async fn two_more_looks(address: &str) {
    for _ in 0..2 {
        let before = seen(address);
        eventually_within(Duration::from_secs(300), "a look at each server", || async {
            seen(address)
                .iter()
                .zip(&before)
                .all(|(now, before)| now != before)
        })
        .await;
    }
}
