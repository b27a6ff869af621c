//! What `check` tells: the statement, the SQL that runs as it is printed, two looks where they are asked for.

use std::process::{Output, Stdio};
use std::time::Duration;

use crate::harness::{Cluster, eventually, pgadvisor};

fn check(arguments: &[&str]) -> Output {
    pgadvisor().arg("check").args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test]
async fn two_looks_judge_what_happened_between_them() {
    let cluster = Cluster::start(18).await;
    let dsn = cluster.dsn("postgres", "postgres");
    let single = text(&check(&[&dsn, "--rule", "query.*"]));
    assert!(single.contains("--wait 60s"), "{single}");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(
        &config,
        "[rules.query.slow_mean]\ninfo_mean = \"10 ms\"\ninfo_calls = 3\n",
    )
    .unwrap();
    // its very first call would begin before the first look, which then does not know it
    let slow = "SELECT pg_sleep(0.1) AS \"a\u{202e}\"";
    cluster.sql("postgres", slow).await;
    let during = async |format: &str| {
        let child = pgadvisor()
            .args([
                "check",
                &dsn,
                "--wait",
                "3s",
                "--rule",
                "query.slow_mean",
                "--format",
                format,
                "--config",
            ])
            .arg(&config)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let session = cluster.connect("postgres").await;
        for _ in 0..20 {
            session.batch_execute(slow).await.unwrap();
        }
        tokio::task::spawn_blocking(|| child.wait_with_output().unwrap())
            .await
            .unwrap()
    };
    let report = text(&during("text").await);
    for part in [
        "statement ",
        "SELECT pg_sleep($1) AS \"a\\u{202e}\"",
        "see it yourself",
        "FROM public.pg_stat_statements WHERE queryid = ",
        "checked: called by clients",
    ] {
        assert!(report.contains(part), "{part:?} is not in\n{report}");
    }
    let json: serde_json::Value = serde_json::from_str(&text(&during("json").await)).unwrap();
    let time = |name: &str| {
        json["window"][name]
            .as_str()
            .unwrap()
            .parse::<chrono::DateTime<chrono::Utc>>()
            .unwrap()
    };
    let length = (time("to") - time("from")).num_milliseconds();
    assert!((2900..10_000).contains(&length), "{length} ms");
    let finding = &json["findings"][0];
    assert!(finding["evidence"]["calls"].as_i64().unwrap() < 25, "{finding}");
    let markdown = text(&during("markdown").await);
    for part in ["The statement ", "See it yourself", "fingerprint `", "Checked: "] {
        assert!(markdown.contains(part), "{part:?} is not in\n{markdown}");
    }
    assert_eq!(check(&[&dsn, "--wait", "0s"]).status.code(), Some(2));
    assert_eq!(check(&[&dsn, "--wait", "soon"]).status.code(), Some(2));
}

#[tokio::test]
async fn sql_runs_as_it_is_printed_whatever_names_hold() {
    let cluster = Cluster::start(15).await;
    let names = "CREATE TABLE \"t\u{202e}\nt\" (a int PRIMARY KEY, b int);
                 CREATE INDEX \"x\u{1b}\ty\" ON \"t\u{202e}\nt\" (b); CREATE INDEX zz ON \"t\u{202e}\nt\" (b)";
    cluster.sql("postgres", names).await;
    let dsn = cluster.dsn("postgres", "postgres");
    let indexes = "SELECT count(*) FROM pg_catalog.pg_indexes WHERE schemaname = 'public'";
    let statement_after = |report: &str, word: &str| -> String {
        let mut lines = report.lines().skip_while(|line| line.trim() != word).skip(1);
        let first = lines.find(|line| line.ends_with(';')).unwrap();
        first.trim().to_owned()
    };
    let report = text(&check(&[&dsn, "--rule", "index.duplicate"]));
    assert!(!report.contains(['\u{202e}', '\u{1b}', '\t']), "{report}");
    cluster.sql("postgres", &statement_after(&report, "run")).await;
    assert_eq!(cluster.number("postgres", indexes).await, 2, "{report}");
    cluster.sql("postgres", &statement_after(&report, "undo")).await;
    assert_eq!(cluster.number("postgres", indexes).await, 3, "{report}");
    let again = text(&check(&[
        &dsn,
        "--rule",
        "index.duplicate",
        "--format",
        "markdown",
    ]));
    cluster.sql("postgres", &statement_after(&again, "```sql")).await;
}

#[tokio::test]
async fn what_could_not_be_judged_comes_with_its_grant() {
    let cluster = Cluster::start(15).await;
    cluster.sql("postgres", "CREATE ROLE stranger LOGIN").await;
    let dsn = cluster.dsn("stranger", "postgres");
    let markdown = text(&check(&[&dsn, "--rule", "query.*", "--format", "markdown"]));
    assert!(
        markdown.contains("  ```sql\n  GRANT pg_read_all_stats TO stranger;\n  ```\n"),
        "{markdown}"
    );
}

#[tokio::test]
async fn a_file_of_another_program_does_not_stop_a_look() {
    let cluster = Cluster::start(15).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("config.toml"),
        "[package]\nname = 'other'\nlisten = = 1\n",
    )
    .unwrap();
    let look = |arguments: &[&str]| {
        pgadvisor()
            .current_dir(folder.path())
            .args(arguments)
            .output()
            .unwrap()
    };
    let dsn = cluster.dsn("postgres", "postgres");
    // a server of a test may lose its data, which is critical
    let seen = look(&["check", &dsn, "--rule", "index.*"]);
    let error = String::from_utf8_lossy(&seen.stderr).into_owned();
    assert_eq!(seen.status.code(), Some(0), "{error}");
    assert!(
        error.contains("config.toml is not used") && error.lines().count() == 1,
        "{error}"
    );
    assert_eq!(
        look(&["check", &dsn, "--config", "config.toml"]).status.code(),
        Some(2)
    );
    assert_eq!(
        look(&["check"]).status.code(),
        Some(2),
        "without a URL the file is meant"
    );
}

#[tokio::test]
async fn closing_the_terminal_ends_the_demo_and_leaves_nothing() {
    let mut demo = pgadvisor()
        .args(["demo", "--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let folder = std::env::temp_dir().join(format!("pgadvisor-demo-{}-0", demo.id()));
    eventually("the server was made", || async {
        folder.join("data/PG_VERSION").exists()
    })
    .await;
    // nobody reads what is said from now on
    drop(demo.stderr.take());
    let told = std::process::Command::new("kill")
        .args(["-HUP", &demo.id().to_string()])
        .status()
        .unwrap();
    assert!(told.success());
    let ended = tokio::task::spawn_blocking(move || demo.wait().unwrap());
    let ended = tokio::time::timeout(Duration::from_secs(30), ended)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((ended.code(), folder.exists()), (Some(0), false));
}

#[test]
fn the_demo_takes_its_address_before_it_makes_anything() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for (address, why) in [
        (taken.local_addr().unwrap().to_string(), "cannot listen on"),
        ("0.0.0.0:0".to_owned(), "listens on loopback alone"),
    ] {
        let output = pgadvisor().args(["demo", "--listen", &address]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(why) && !error.contains("starting"), "{error}");
    }
}
