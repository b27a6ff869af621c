//! The program from outside: what it prints, and how it ends.

use std::process::Output;

use crate::harness::{Cluster, pgadvisor};

fn contract(name: &str) -> jsonschema::Validator {
    let read = |name: &str| -> serde_json::Value {
        let path = format!("{}/tests/contracts/{name}", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    // the one reference between the files, put in place
    let finding = read("finding.schema.json");
    let mut schema = read(name);
    let text = schema.to_string().replace(
        "{\"$ref\":\"finding.schema.json\"}",
        &finding
            .to_string()
            .replace("\"$id\":\"finding.schema.json\",", ""),
    );
    schema = serde_json::from_str(&text).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[tokio::test]
async fn check_answers_as_the_contract_says() {
    let cluster = Cluster::start(18).await;
    cluster
        .sql(
            "postgres",
            "CREATE TABLE \"<script>\u{202e}\" (a int PRIMARY KEY, b text); CREATE INDEX x ON \"<script>\u{202e}\" (b);
             CREATE INDEX \"x\"\"y\" ON \"<script>\u{202e}\" (b)",
        )
        .await;
    let dsn = cluster.dsn("postgres", "postgres");
    let output = pgadvisor()
        .args(["check", &dsn, "--format", "json"])
        .output()
        .unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let errors: Vec<String> = contract("check.schema.json")
        .iter_errors(&answer)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(answer["findings"][0]["rule"], "index.duplicate");
    assert_eq!(code(&output), 0, "a warning is not critical");
    let strict = pgadvisor()
        .args(["check", &dsn, "--fail-on", "warning"])
        .output()
        .unwrap();
    assert_eq!(code(&strict), 1);
    let text = String::from_utf8(strict.stdout).unwrap();
    assert!(!text.contains('\u{202e}') && text.contains("\\u{202e}"), "{text}");
    let skipped = pgadvisor()
        .args(["check", &dsn, "--fail-on-skipped"])
        .output()
        .unwrap();
    assert_eq!(code(&skipped), 1);
    let markdown = pgadvisor()
        .args(["check", &dsn, "--format", "markdown"])
        .output()
        .unwrap();
    assert!(String::from_utf8(markdown.stdout).unwrap().starts_with("# "));
    let lines = pgadvisor()
        .args(["check", &dsn, "--format", "ndjson", "--rule", "index.*"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(lines.stdout).unwrap().lines().count(), 1);
}

#[test]
fn wrong_usage_is_one_clear_line_and_the_right_code() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.toml");
    std::fs::write(
        &wrong,
        "[web]\nlisten = 5\nlisten_adress = 1\n[[servers]]\nname = 'a'\n[rules.index.unusd]\n",
    )
    .unwrap();
    let wrong = wrong.to_str().unwrap();
    let cases: [(&[&str], i32, &[&str]); 7] = [
        (&["check", "--nonsense"], 2, &["--nonsense"]),
        (
            &["check", "postgres://u:secret@127.0.0.1:1/x"],
            3,
            &["127.0.0.1:1", "check that it runs"],
        ),
        (
            &["check", "postgres://u:secret@h/x?sslmoed=require"],
            2,
            &["sslmode"],
        ),
        (
            &["check", "--config", "/nonexistent.toml"],
            2,
            &["/nonexistent.toml"],
        ),
        (
            &["config", "check", "--config", wrong],
            2,
            &[":2:", ":3:", "listen", "dsn", "index.unused"],
        ),
        (&["explain", "index.unusde"], 2, &["index.unused"]),
        (
            &["check", "--rule", "nothing.*", "postgres://127.0.0.1:1/"],
            2,
            &["nothing.*"],
        ),
    ];
    for (arguments, expected, words) in cases {
        let output = pgadvisor().args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), expected, "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!error.contains("secret"), "{error}");
        for word in words {
            assert!(error.contains(word), "{arguments:?}: {word:?} is not in {error}");
        }
    }
}

#[test]
fn every_rule_explains_itself() {
    let list = String::from_utf8(pgadvisor().arg("explain").output().unwrap().stdout).unwrap();
    assert_eq!(list.lines().count(), pgadvisor::rules::all().len());
    let manual = String::from_utf8(
        pgadvisor()
            .args(["explain", "index.unused"])
            .output()
            .unwrap()
            .stdout,
    )
    .unwrap();
    for part in [
        "## Why it is bad",
        "min_age = \"35 days\"",
        "hold = \"0 s\"",
        "clear = \"10 min\"",
    ] {
        assert!(manual.contains(part), "{manual}");
    }
}

#[tokio::test]
async fn setup_prints_a_login_that_suffices_and_says_what_lacks() {
    let cluster = Cluster::start(15).await;
    let sql = String::from_utf8(pgadvisor().arg("setup").output().unwrap().stdout).unwrap();
    let statements: Vec<&str> = sql.lines().filter(|line| !line.starts_with("--")).collect();
    cluster.sql("postgres", &statements.join("\n")).await;
    let good = pgadvisor()
        .args(["setup", "--check", &cluster.dsn("pgadvisor", "postgres")])
        .output()
        .unwrap();
    assert_eq!(code(&good), 0, "{}", String::from_utf8_lossy(&good.stdout));
    cluster.sql("postgres", "CREATE ROLE stranger LOGIN").await;
    let bad = pgadvisor()
        .args(["setup", "--check", &cluster.dsn("stranger", "postgres")])
        .output()
        .unwrap();
    assert_eq!(code(&bad), 1);
    assert!(String::from_utf8_lossy(&bad.stdout).contains("GRANT pg_read_all_stats TO stranger;"));
}
