//! What the options of `pgadvisor check` do to how it ends, and to what it tells.

use pgadvisor::model::finding::Window;
use serde_json::Value;

use crate::harness::{Cluster, eventually, pgadvisor};

/// How `check` ended with these arguments, and what it wrote.
fn check(arguments: &[&str]) -> (i32, String) {
    let output = pgadvisor().arg("check").args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.is_empty(), "{arguments:?}: {error}");
    (output.status.code().unwrap(), text)
}

fn answer(arguments: &[&str]) -> Value {
    let (_, text) = check(&[arguments, &["--format", "json"]].concat());
    serde_json::from_str(&text).unwrap()
}

/// The rule and the title of each finding.
fn findings(answer: &Value) -> Vec<(&str, &str)> {
    let all = answer["findings"].as_array().unwrap().iter();
    all.map(|one| (one["rule"].as_str().unwrap(), one["title"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn it_ends_as_it_was_asked_to() {
    let cluster = Cluster::start(18).await;
    cluster.sql("postgres", "CREATE ROLE stranger LOGIN").await;
    let (own, stranger) = (
        cluster.dsn("postgres", "postgres"),
        cluster.dsn("stranger", "postgres"),
    );
    // a server of a test may lose its data, which is critical; that it does not measure I/O is but worth knowing
    let (critical, info) = ("config.durability_off", "config.statistics_off");
    for (rule, fail_on, expected) in [
        (critical, "critical", 1),
        (critical, "info", 1),
        (critical, "never", 0),
        (info, "warning", 0),
        (info, "info", 1),
        (info, "never", 0),
    ] {
        let arguments = [own.as_str(), "--rule", rule, "--fail-on", fail_on];
        assert!(!findings(&answer(&arguments)).is_empty(), "{rule}");
        assert_eq!(check(&arguments).0, expected, "{arguments:?}");
        let strict = [&arguments[..], &["--fail-on-skipped"]].concat();
        assert_eq!(check(&strict).0, expected, "nothing was skipped: {strict:?}");
    }
    // who does not see what others run can judge no statement
    let blind = [
        stranger.as_str(),
        "--rule",
        "query.time_share",
        "--fail-on",
        "never",
    ];
    let skipped = answer(&blind);
    assert!(findings(&skipped).is_empty(), "{skipped}");
    assert_eq!(skipped["skipped"].as_array().unwrap().len(), 1, "{skipped}");
    assert_eq!(check(&blind).0, 0);
    let strict = [&blind[..], &["--fail-on-skipped"]].concat();
    assert_eq!(check(&strict).0, 1);
}

#[tokio::test]
async fn people_are_told_all_findings_where_they_ask_for_them() {
    let cluster = Cluster::start(18).await;
    let numbers = 1..=12;
    let create = |number: i32| {
        format!(
            "CREATE TABLE t{number:02} (id int PRIMARY KEY, a int); CREATE INDEX twin_{number:02}_a ON t{number:02} (a); \
             CREATE INDEX twin_{number:02}_b ON t{number:02} (a);"
        )
    };
    let script: String = numbers.clone().map(create).collect();
    cluster.sql("postgres", &script).await;
    let dsn = cluster.dsn("postgres", "postgres");
    let told = |arguments: &[&str]| {
        let (_, text) = check(&[&[dsn.as_str()][..], arguments].concat());
        let is_told = |number: &i32| text.contains(&format!("twin_{number:02}_"));
        numbers.clone().filter(is_told).count()
    };
    for format in ["text", "markdown"] {
        let few = told(&["--format", format]);
        assert!((1..=3).contains(&few), "{few} of one rule in {format}");
        assert_eq!(told(&["--format", format, "--all-findings"]), 12, "{format}");
        assert_eq!(
            told(&["--format", format, "--rule", "index.duplicate"]),
            12,
            "{format}"
        );
    }
    for format in ["json", "ndjson"] {
        assert_eq!(told(&["--format", format]), 12, "{format} is always whole");
    }
}

#[tokio::test]
async fn two_looks_are_saved_in_one_file_and_judged_from_it_as_they_were() {
    let cluster = Cluster::start(18).await;
    cluster
        .sql(
            "postgres",
            "CREATE TABLE t (id int PRIMARY KEY, a int); CREATE INDEX x ON t (a); CREATE INDEX y ON t (a)",
        )
        .await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("looks.json");
    let file = path.to_str().unwrap();
    let dsn = cluster.dsn("postgres", "postgres");
    let here = answer(&[&dsn, "--wait", "1s", "--save-snapshot", file]);
    drop(cluster);
    let saved: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(saved["looks"].as_array().unwrap().len(), 2);
    let window: Window = serde_json::from_value(here["window"].clone()).unwrap();
    assert!(
        window.seconds() >= 1.0 && window.seconds() < 60.0,
        "what happened between the looks: {window:?}"
    );
    let there = answer(&["--snapshot", file]);
    assert_eq!(there["window"], here["window"]);
    assert_eq!(findings(&there), findings(&here));
    assert!(findings(&here).iter().any(|(rule, _)| *rule == "index.duplicate"));
}

#[tokio::test]
async fn what_two_rules_could_tell_is_told_by_the_one_that_is_asked_for() {
    let cluster = Cluster::start(18).await;
    cluster
        .sql("postgres", "ALTER SYSTEM SET track_counts = off")
        .await;
    cluster.sql("postgres", "SELECT pg_reload_conf()").await;
    eventually("nothing is counted", || async {
        let off = "SELECT count(*) FROM pg_settings WHERE name = 'track_counts' AND setting = 'off'";
        cluster.number("postgres", off).await == 1
    })
    .await;
    let dsn = cluster.dsn("postgres", "postgres");
    for (rules, expected) in [
        (&["config.*"][..], "config.statistics_off"),
        (&["vacuum.*"][..], "vacuum.autovacuum_off"),
        (&["config.*", "vacuum.*"][..], "vacuum.autovacuum_off"),
    ] {
        let asked = rules.iter().flat_map(|rule| ["--rule", *rule]);
        let arguments: Vec<&str> = std::iter::once(dsn.as_str()).chain(asked).collect();
        let answer = answer(&arguments);
        let told = findings(&answer).into_iter();
        let of_counts = told.filter(|(_, title)| title.starts_with("track_counts is off"));
        let by: Vec<&str> = of_counts.map(|(rule, _)| rule).collect();
        assert_eq!(by, [expected], "{rules:?}");
    }
}
