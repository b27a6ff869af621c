//! The program from outside: what it prints, and how it ends.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use pgadvisor::model::finding::{Claim, Confidence, ConfidenceLevel, Impact, Remedy, Severity, State};
use pgadvisor::model::judgement::{Judgement, RuleOutcome, Verdict};
use pgadvisor::model::unit::Period;
use pgadvisor::store::{FindingFilter, Store};

use crate::harness::{Cluster, eventually, pgadvisor, some_versions};

/// An answer is as its contract says.
pub fn conforms(name: &str, answer: &serde_json::Value) {
    let errors: Vec<String> = contract(name)
        .iter_errors(answer)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert_eq!(errors, Vec::<String>::new());
}

pub fn contract(name: &str) -> jsonschema::Validator {
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
    conforms("check.schema.json", &answer);
    let findings = answer["findings"].as_array().unwrap();
    assert!(
        findings
            .iter()
            .any(|finding| finding["rule"] == "index.duplicate")
    );
    assert_eq!(
        code(&output),
        1,
        "a server of a test may lose its data, which is critical"
    );
    let mild = pgadvisor()
        .args(["check", &dsn, "--format", "json", "--rule", "index.*"])
        .output()
        .unwrap();
    assert_eq!(code(&mild), 0, "a warning is not critical");
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

#[tokio::test]
async fn all_databases_are_those_of_the_server_whatever_the_configuration_names() {
    let cluster = Cluster::start(18).await;
    for sql in [
        "CREATE DATABASE shop",
        "CREATE DATABASE closed WITH ALLOW_CONNECTIONS false",
    ] {
        cluster.sql("postgres", sql).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let dsn = cluster.dsn("postgres", "postgres");
    let text = format!("[[servers]]\nname = \"main\"\ndsn = \"{dsn}\"\ndatabases = [\"postgres\"]\n");
    std::fs::write(&file, text).unwrap();
    let configured = ["--config", file.to_str().unwrap()];
    let by_url = [dsn.as_str()];
    for (server, all, databases) in [
        (&configured[..], false, &["postgres"][..]),
        (&configured[..], true, &["postgres", "shop"][..]),
        (&by_url[..], true, &["postgres", "shop"][..]),
    ] {
        let output = pgadvisor()
            .args(["check", "--format", "json"])
            .args(server)
            .args(all.then_some("--all-databases"))
            .output()
            .unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            answer["server"]["databases"],
            serde_json::json!(databases),
            "{server:?}"
        );
    }
}

#[tokio::test]
async fn a_saved_look_is_judged_elsewhere_as_it_was_here_and_holds_no_constant() {
    let folder = tempfile::tempdir().unwrap();
    for version in some_versions() {
        let cluster = Cluster::start(version).await;
        cluster
            .sql(
                "postgres",
                "CREATE TABLE t (id serial, note text, state text, CONSTRAINT c CHECK (note <> 'hunter2') NOT VALID);
                 CREATE INDEX a ON t (id) WHERE state = 'hunter2'; CREATE INDEX b ON t (id) WHERE state = 'hunter2';
                 CREATE INDEX other ON t (id) WHERE state = 'hunter3'; CREATE ROLE app PASSWORD 'hunter2';
                 SELECT * FROM t WHERE note = 'hunter2'",
            )
            .await;
        let sleeper = cluster.connect("postgres").await;
        let asked = tokio::spawn(async move {
            let _ = sleeper.batch_execute("SELECT 'hunter2', pg_sleep(20)").await;
        });
        let asking =
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(20)'";
        eventually("somebody asks", || async {
            cluster.number("postgres", asking).await == 1
        })
        .await;
        let path = folder.path().join(format!("{version}.json"));
        let file = path.to_str().unwrap();
        let rules = |arguments: &[&str]| -> (Vec<String>, i32) {
            let output = pgadvisor()
                .args(["check", "--format", "json", "--fail-on", "warning"])
                .args(arguments)
                .output()
                .unwrap();
            let answer: serde_json::Value = serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
            conforms("check.schema.json", &answer);
            let findings = answer["findings"].as_array().unwrap().iter();
            let told = findings.map(|one| format!("{} {}", one["rule"], one["fingerprint"]));
            (told.collect(), code(&output))
        };
        let here = rules(&[&cluster.dsn("postgres", "postgres"), "--save-snapshot", file]);
        asked.abort();
        drop(cluster);
        assert!(
            here.0.iter().any(|told| told.starts_with("\"index.duplicate\"")),
            "{here:?}"
        );
        assert_eq!(rules(&["--snapshot", file]), here, "on {version}");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("hunter"), "on {version}");
        assert!(text.contains("pg_sleep"), "sessions are in it");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        let broken = pgadvisor().args(["check", "--snapshot", file]).output().unwrap();
        assert_eq!(code(&broken), 2);
        assert!(String::from_utf8_lossy(&broken.stderr).contains("cannot read the snapshot"));
    }
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
fn a_file_that_cannot_connect_is_told_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let open_file = folder.path().join("open.password");
    std::fs::write(&open_file, "hunter2").unwrap();
    let dsns = [
        "mysql://u@x",
        "postgres://%zz@h/d",
        "host=h port=x",
        "host=h sslmode=verify-full sslrootcert=/nope.crt",
    ];
    let mut text = "[web]\nlisten = \"127.0.0.1:0\"\n".to_owned();
    for (number, dsn) in dsns.iter().enumerate() {
        text += &format!("[[servers]]\nname = \"s{number}\"\ndsn = \"{dsn}\"\n");
    }
    text += "[[servers]]\nname = \"f\"\ndsn = \"host=h user=u\"\nplanner_dsn = \"port=0\"\npassword_file = \"/nope\"\n";
    text += "[[servers]]\nname = \"o\"\ndsn = \"host=h user=u\"\npassword_file = \"open.password\"\n";
    text += "[rules.query.slow_mean]\ncritical_share = 50\ninfo_calls = -5\nhold = \"99999999 days\"\n";
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&open_file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let config = path.to_str().unwrap();
    for arguments in [&["config", "check"][..], &["run"]] {
        let output = pgadvisor()
            .args(arguments)
            .args(["--config", config])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), 2, "{error}");
        for word in [
            "config.toml:5:7: servers[0].dsn: ",
            "config.toml:8:7: servers[1].dsn: ",
            "config.toml:11:7: servers[2].dsn: ",
            "config.toml:14:7: servers[3].dsn: ",
            "cannot read /nope.crt",
            "config.toml:18:15: servers[4].planner_dsn: ",
            "config.toml:19:17: servers[4].password_file: ",
            "config.toml:23:17: servers[5].password_file: ",
            "run chmod 0600",
            "critical_share: must be a share from 0 to 1, not 50",
            "info_calls: must be 0 or more, not -5",
            "it must be from 0 to 36500 days",
            "10 errors",
        ] {
            assert!(error.contains(word), "{word:?} is not in\n{error}");
        }
        assert!(!error.contains("hunter2"));
    }
    assert!(!folder.path().join("pgadvisor.db").exists());
    let json = pgadvisor()
        .args(["config", "check", "--format", "json", "--config", config])
        .output()
        .unwrap();
    assert_eq!((code(&json), json.stderr.len()), (2, 0));
    let answer: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&answer["valid"], answer["errors"].as_array().unwrap().len()),
        (&false.into(), 10)
    );
    assert_eq!(answer["errors"][0]["place"]["line"], 5);
}

#[test]
fn programs_get_json_where_people_get_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(
        &path,
        "[[servers]]\nname = \"a\"\ndsn = \"postgres://u:hunter2@h/d\"\n",
    )
    .unwrap();
    let config = path.to_str().unwrap();
    let answer = |arguments: &[&str]| -> serde_json::Value {
        let output = pgadvisor()
            .args(arguments)
            .args(["--format", "json"])
            .output()
            .unwrap();
        assert_eq!(
            code(&output),
            0,
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(!String::from_utf8_lossy(&output.stdout).contains("hunter2"));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let checked = answer(&["config", "check", "--config", config]);
    assert_eq!(
        (&checked["valid"], &checked["servers"]),
        (&true.into(), &1.into())
    );
    assert_eq!(checked["warnings"].as_array().unwrap().len(), 1);
    let shown = answer(&["config", "show", "--config", config]);
    let value = |key: &str| {
        let values = shown["values"].as_array().unwrap();
        values.iter().find(|value| value["key"] == key).unwrap().clone()
    };
    assert_eq!(value("servers[0].dsn")["from"], "line 3");
    assert_eq!(value("servers[0].databases")["value"], serde_json::json!(["*"]));
    assert_eq!(value("rules.index.unused.enabled")["value"], true);
    assert_eq!(
        answer(&["explain"]).as_array().unwrap().len(),
        pgadvisor::rules::all().len()
    );
    let unused = answer(&["explain", "index.unused"]);
    assert_eq!(
        (&unused["rule"], &unused["clear"]),
        (&"index.unused".into(), &"10 min".into())
    );
    assert!(
        unused["thresholds"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["name"] == "min_age")
    );
    let steps = pgadvisor().args(["setup", "--format", "text"]).output().unwrap();
    let steps = String::from_utf8(steps.stdout).unwrap();
    assert!(
        !steps.lines().any(|line| line.trim_start().starts_with("--"))
            && steps.contains("    GRANT pg_monitor TO pgadvisor;"),
        "{steps}"
    );
}

#[test]
fn without_a_configured_server_that_of_the_environment_is_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let told = |action: &str| {
        let output = pgadvisor()
            .current_dir(folder.path())
            .args(["config", action])
            .env("PGHOST", "db1")
            .env("PGUSER", "observer")
            .env("PGPASSWORD", "hunter2")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(code(&output) == 0 && !text.contains("hunter2"), "{text}");
        text
    };
    let line = "servers[0].dsn = \"host=db1 user=observer password=***\"  # environment PGHOST, PGUSER, PGPASSWORD\n";
    let shown = told("show");
    assert!(
        shown.contains(line) && shown.contains("servers[0].name = \"main\""),
        "{shown}"
    );
    let checked = told("check");
    assert!(checked.contains("the defaults hold: 1 server, "), "{checked}");
}

#[test]
fn small_wrong_uses_are_told_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, "[store]\npath = \"x.db\"\n").unwrap();
    drop(pgadvisor::store::Store::open(&folder.path().join("x.db")).unwrap());
    let comment = "x".repeat(1001);
    let long = [
        "findings",
        "acknowledge",
        "0123456789abcdef",
        "--comment",
        &comment,
        "--config",
        path.to_str().unwrap(),
    ];
    let cases: [(&[&str], &str); 4] = [
        (&["check", "--server", "a"], "no server is configured: give a URL"),
        (
            &["setup", "--login", "a\nDROP ROLE b; --"],
            "without control characters",
        ),
        (&["setup", "--login", ""], "a login needs a name"),
        (&long, "the comment has 1001 characters: at most 1000 are kept"),
    ];
    for (arguments, words) in cases {
        let output = pgadvisor()
            .current_dir(folder.path().join(".."))
            .args(arguments)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((code(&output), output.stdout.len()), (2, 0), "{error}");
        assert!(error.contains(words), "{words:?} is not in\n{error}");
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
    cluster
        .sql("postgres", "CREATE TABLE before (id serial PRIMARY KEY)")
        .await;
    let sql = String::from_utf8(pgadvisor().arg("setup").output().unwrap().stdout).unwrap();
    let statements: Vec<&str> = sql.lines().filter(|line| !line.starts_with("--")).collect();
    cluster.sql("postgres", &statements.join("\n")).await;
    cluster
        .sql("postgres", "CREATE TABLE later (id serial PRIMARY KEY)")
        .await;
    let good = pgadvisor()
        .args(["setup", "--check", &cluster.dsn("pgadvisor", "postgres")])
        .output()
        .unwrap();
    assert_eq!(code(&good), 0, "{}", String::from_utf8_lossy(&good.stdout));
    cluster
        .sql(
            "postgres",
            "REVOKE SELECT ON SEQUENCE later_id_seq FROM pgadvisor",
        )
        .await;
    let blind = pgadvisor()
        .args(["setup", "--check", &cluster.dsn("pgadvisor", "postgres")])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&blind.stdout);
    assert_eq!(code(&blind), 1, "{told}");
    assert!(
        told.contains("schema.sequence_exhaustion")
            && told.contains("GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO pgadvisor;"),
        "{told}"
    );
    cluster.sql("postgres", "CREATE ROLE stranger LOGIN").await;
    let bad = pgadvisor()
        .args(["setup", "--check", &cluster.dsn("stranger", "postgres")])
        .output()
        .unwrap();
    assert_eq!(code(&bad), 1);
    assert!(String::from_utf8_lossy(&bad.stdout).contains("GRANT pg_read_all_stats TO stranger;"));
}

#[test]
fn a_protection_that_nobody_would_keep_is_refused() {
    let socket = std::env::temp_dir();
    let socket = format!("host={} requirepeer=root", socket.display());
    let cases: [(&str, &str, &[&str]); 3] = [
        (
            &socket,
            "",
            &["requirepeer", "would be ignored", "sslmode=verify-full"],
        ),
        (
            "host=127.0.0.1 port=1 sslcrldir=/etc/crl",
            "",
            &["sslcrldir", "sslcrl"],
        ),
        (
            "host=127.0.0.1 port=1",
            "scram-sha-256",
            &["PGREQUIREAUTH", "channel_binding=require"],
        ),
    ];
    for (dsn, require_auth, words) in cases {
        let output = pgadvisor()
            .args(["check", dsn])
            .env("PGREQUIREAUTH", require_auth)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), 2, "{dsn}: {error}");
        for word in words {
            assert!(error.contains(word), "{dsn}: {word:?} is not in {error}");
        }
    }
    let tuned = pgadvisor()
        .args(["check", "host=127.0.0.1 port=1 application_name=x"])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&tuned.stderr);
    assert_eq!(code(&tuned), 3, "{error}");
    assert!(error.contains("application_name is ignored"), "{error}");
}

fn finding(number: usize) -> Claim {
    Claim {
        rule: "index.unused".to_owned(),
        severity: Severity::Warning,
        server: "main".to_owned(),
        database: None,
        object: None,
        subject: vec![number.to_string()],
        who: Default::default(),
        hold: None,
        clear: None,
        title: format!("Finding {number}"),
        explanation: "Because.".to_owned(),
        evidence: Default::default(),
        evidence_window: None,
        evidence_sql: None,
        impact: Impact::default(),
        confidence: Confidence {
            level: ConfidenceLevel::Measured,
            reason: "it was measured".to_owned(),
        },
        remedy: Remedy::default(),
        guards: vec!["a guard".to_owned()],
    }
}

/// A configuration whose store has so many open findings.
fn store_with(findings: usize, folder: &Path) -> Store {
    let text = "[web]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"pgadvisor.db\"\n[[servers]]\nname = \"main\"\n\
                dsn = \"host=127.0.0.1 port=1 user=nobody\"\n";
    std::fs::write(folder.join("config.toml"), text).unwrap();
    let store = Store::open(&folder.join("pgadvisor.db")).unwrap();
    let outcome = RuleOutcome {
        rule: "index.unused".to_owned(),
        database: None,
        verdict: Verdict::Evaluated {
            absence_counts: true,
            undecided: vec![],
            untold: None,
        },
        hold: Period::default(),
        clear: Period::default(),
        own: Vec::new(),
    };
    let seen = Judgement {
        claims: (0..findings).map(finding).collect(),
        outcomes: vec![outcome],
        dropped_claims: 0,
        ..Judgement::default()
    };
    store.record("main", chrono::Utc::now(), &seen).unwrap();
    store
}

fn acknowledge(number: usize, folder: &Path) -> Child {
    pgadvisor()
        .args([
            "findings",
            "acknowledge",
            finding(number).fingerprint().as_str(),
            "--config",
        ])
        .arg(folder.join("config.toml"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn answers_given_at_once_are_all_carried_out_without_a_daemon() {
    const FINDINGS: usize = 12;
    let folder = tempfile::tempdir().unwrap();
    let held = store_with(FINDINGS, folder.path());
    let children: Vec<Child> = (0..FINDINGS)
        .map(|number| acknowledge(number, folder.path()))
        .collect();
    // the one with the lock leaves when all have handed in their answer, and has carried out none
    eventually("all were handed in", || async {
        held.audit(FINDINGS).unwrap().len() == FINDINGS
    })
    .await;
    drop(held);
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "acknowledge: done\n");
    }
    let store = Store::open_shared(&folder.path().join("pgadvisor.db")).unwrap();
    let acknowledged = FindingFilter {
        states: vec![State::Acknowledged],
        ..FindingFilter::default()
    };
    assert_eq!(store.findings(&acknowledged).unwrap().items.len(), FINDINGS);
}

#[test]
fn a_starting_daemon_waits_for_a_command_that_has_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let held = store_with(1, folder.path());
    let mut daemon = pgadvisor()
        .arg("run")
        .arg("--config")
        .arg(folder.path().join("config.toml"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    drop(held);
    let mut log = BufReader::new(daemon.stderr.take().unwrap()).lines();
    let serves = log.any(|line| line.unwrap().contains("the dashboard is at"));
    let _ = Command::new("kill").arg(daemon.id().to_string()).status();
    let ended = daemon.wait().unwrap();
    assert_eq!((serves, ended.code()), (true, Some(0)));
}
