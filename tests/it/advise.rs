//! `pgadvisor advise` from outside, on real servers: what it proves, what it leaves alone, and what it says of the rest.

use serde_json::{Value, json};

use crate::command_line::conforms;
use crate::harness::{Cluster, pgadvisor, present};

const SHOP: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE orders (id int PRIMARY KEY, customer int, status text, made_at timestamptz, note text);
INSERT INTO orders SELECT g, g % 5000, CASE WHEN g % 100 = 0 THEN 'open' ELSE 'done' END, now() - g * interval '1 min',
    repeat('x', 50) FROM generate_series(1, 50000) g;
CREATE INDEX orders_customer ON orders (customer);
CREATE TABLE few (a int, b int); INSERT INTO few SELECT g, g FROM generate_series(1, 100) g;
CREATE TABLE fresh (a int, b text); ALTER TABLE fresh SET (autovacuum_enabled = off);
INSERT INTO fresh SELECT g, repeat('x', 50) FROM generate_series(1, 20000) g;
CREATE TABLE log (id bigint, kind text, at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY LIST (kind);
CREATE TABLE log_2_rest PARTITION OF log_2 DEFAULT;
INSERT INTO log SELECT g, 'k' || g % 7, date '2026-01-01' + g % 59 FROM generate_series(1, 60000) g;
CREATE TABLE docs (id int, info jsonb, title text);
INSERT INTO docs SELECT g, jsonb_build_object('k', g), md5(g::text) || md5((g + 1)::text) FROM generate_series(1, 30000) g;
ANALYZE orders; ANALYZE few; ANALYZE log; ANALYZE docs";

fn advise(cluster: &Cluster, arguments: &[&str]) -> Value {
    let dsn = cluster.dsn("postgres", "postgres");
    advised(&[&[dsn.as_str()][..], arguments].concat())
}

fn advised(arguments: &[&str]) -> Value {
    let output = pgadvisor()
        .args(["advise", "--format", "json"])
        .args(arguments)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
    conforms("advise.schema.json", &answer);
    // what was given by hand must be planned, in part at least
    let statements = answer["statements"].as_array().unwrap();
    let was_stopped = answer["workload"]["was_stopped"] == true;
    let is_none =
        !was_stopped && !statements.is_empty() && statements.iter().all(|one| one["status"] == "not_planned");
    let (code, told) = match is_none {
        true => (2, "nothing could be planned: "),
        false => (0, ""),
    };
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.contains(told), "{error}");
    answer
}

/// The advice for one statement: its status and reason, and the definitions.
fn alone(cluster: &Cluster, statement: &str) -> (String, String, Vec<String>) {
    let answer = advise(cluster, &["--statement", statement]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = &answer["statements"][0];
    let definitions = answer["indexes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|index| text(&index["definition"]));
    (text(&one["status"]), text(&one["reason"]), definitions.collect())
}

#[tokio::test]
async fn what_is_advised_is_proven_made_and_undone() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", SHOP).await;
        let before = cluster.number("postgres", "SELECT count(*) FROM pg_class").await;
        let answer = advise(
            &cluster,
            &[
                "--statement",
                "SELECT id, made_at FROM orders WHERE customer = $1 AND status = 'open' ORDER BY made_at DESC LIMIT 10",
                "--statement",
                "SELECT count(*) FROM log WHERE id = $1",
                "--statement",
                "UPDATE orders SET note = $1 WHERE made_at = $2",
                "--budget",
                "50MB",
            ],
        );
        assert!(answer["workload"]["size_bytes"].as_f64().unwrap() <= 50e6);
        let calls = answer["workload"]["what_if_calls"].as_u64().unwrap();
        assert!((1..=60).contains(&calls), "{calls} for three statements");
        for statement in answer["statements"].as_array().unwrap() {
            assert_eq!(statement["status"], "improved", "on {version}: {statement}");
            let cost = |name: &str| statement[name].as_f64().unwrap();
            assert!(cost("cost_after") < cost("cost_before"));
            assert!(!statement["plan_after"].as_array().unwrap().is_empty());
        }
        // the planner agrees once they are there, all of them valid
        for index in answer["indexes"].as_array().unwrap() {
            for sql in index["apply_sql"].as_array().unwrap() {
                cluster.sql("postgres", sql.as_str().unwrap()).await;
            }
        }
        let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
        assert_eq!(cluster.number("postgres", invalid).await, 0, "on {version}");
        let of_log = answer["indexes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|index| index["table"] == "log")
            .unwrap();
        assert!(!of_log["definition"].as_str().unwrap().contains("CONCURRENTLY"));
        let attached =
            "SELECT count(*) FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE relkind IN ('i', 'I')";
        assert_eq!(
            cluster.number("postgres", attached).await,
            3,
            "on {version}: {of_log}"
        );
        for statement in answer["statements"].as_array().unwrap() {
            let text = statement["text"].as_str().unwrap();
            if text.starts_with("SELECT count") {
                let sql = format!("EXPLAIN (FORMAT JSON) {}", text.replace("$1", "77"));
                let session = cluster.connect("postgres").await;
                let plan: Value = session.query_one(&sql, &[]).await.unwrap().get(0);
                assert!(plan.to_string().contains("Index"), "on {version}: {plan}");
            }
        }
        for index in answer["indexes"].as_array().unwrap() {
            for sql in index["undo_sql"].as_array().unwrap() {
                cluster.sql("postgres", sql.as_str().unwrap()).await;
            }
        }
        assert_eq!(
            cluster.number("postgres", "SELECT count(*) FROM pg_class").await,
            before
        );
    }
}

#[tokio::test]
async fn nothing_is_advised_where_nothing_is_due() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", SHOP).await;
        for (statement, status, reason) in [
            (
                "SELECT * FROM orders WHERE id = 7",
                "no_candidate",
                "orders_pkey answers",
            ),
            (
                "SELECT * FROM orders WHERE customer = 7",
                "no_candidate",
                "orders_customer answers",
            ),
            (
                "SELECT * FROM orders WHERE customer = 7 AND id = 9",
                "unchanged",
                "",
            ),
            ("SELECT * FROM orders", "no_candidate", "nothing that it asks"),
            (
                "SELECT * FROM orders WHERE note <> 'a'",
                "no_candidate",
                "nothing that it asks",
            ),
            (
                "SELECT * FROM orders WHERE status = 'done'",
                "unchanged",
                "not worth",
            ),
            ("SELECT * FROM few WHERE a = 7", "no_candidate", "so small"),
            ("SELECT * FROM fresh WHERE a = 7", "no_candidate", "ANALYZE"),
            (
                "SELECT * FROM pg_class WHERE relpages = 7",
                "not_planned",
                "PostgreSQL itself",
            ),
            (
                "SELECT id FROM docs WHERE title LIKE '%jo%'",
                "no_candidate",
                "three letters or digits in a row",
            ),
            (
                "SELECT info FROM docs WHERE point(id, id) IS NULL",
                "unchanged",
                "b-trees cannot order",
            ),
            ("VACUUM orders", "not_planned", ""),
            (
                "SET work_mem = '1MB'; VACUUM orders",
                "not_planned",
                "several statements",
            ),
            ("SELECT 1; DROP TABLE orders", "not_planned", "2 statements"),
            ("SELEC 1", "not_planned", "parse"),
            ("SELECT * FROM missing", "not_planned", "missing"),
        ] {
            let (told, why, definitions) = alone(&cluster, statement);
            assert_eq!(
                (told.as_str(), definitions),
                (status, vec![]),
                "on {version}: {statement}: {why}"
            );
            assert!(why.contains(reason), "on {version}: {statement}: {why}");
        }
        assert_eq!(
            cluster.number("postgres", "SELECT count(*) FROM orders").await,
            50_000
        );
    }
}

#[tokio::test]
async fn each_kind_of_question_has_its_index() {
    for version in present(&[18]) {
        let cluster = Cluster::start(version).await;
        cluster
            .sql("postgres", &format!("{SHOP}; CREATE EXTENSION pg_trgm"))
            .await;
        for (statement, part) in [
            (
                "SELECT id FROM orders WHERE status = 'open' ORDER BY made_at DESC LIMIT 5",
                "WHERE status = 'open'",
            ),
            (
                "SELECT id FROM orders WHERE made_at > now() - interval '1 hour'",
                "(made_at)",
            ),
            ("SELECT id FROM docs WHERE lower(title) = 'x'", "(lower(title))"),
            (
                "SELECT id FROM docs WHERE info @> '{\"k\": 7}'",
                "USING gin (info jsonb_path_ops)",
            ),
            (
                "SELECT id FROM docs WHERE title ILIKE '%abc%'",
                "USING gin (title public.gin_trgm_ops)",
            ),
            ("SELECT id FROM docs WHERE title LIKE 'abcd%'", "(title"),
            (
                "SELECT o.id FROM orders o JOIN docs d ON d.id = o.id WHERE o.made_at = now()",
                "docs",
            ),
            (
                "WITH c AS (SELECT * FROM orders) SELECT note FROM c WHERE made_at = $1",
                "(made_at",
            ),
            (
                "SELECT id FROM orders o WHERE EXISTS (SELECT FROM docs WHERE title = $1 AND docs.id = o.id)",
                "docs",
            ),
            ("SELECT max(made_at) FROM orders", "(made_at"),
        ] {
            let (status, why, definitions) = alone(&cluster, statement);
            assert_eq!(status, "improved", "{statement}: {why}");
            assert!(
                definitions.iter().any(|one| one.contains(part)),
                "{statement}: {definitions:?}"
            );
        }
        // the first rows that hold two letters are soon found, whatever finding all of them costs
        let (status, _, definitions) =
            alone(&cluster, "SELECT id FROM docs WHERE title ILIKE '%ab%' LIMIT 20");
        assert!(status != "improved" && definitions.is_empty(), "{definitions:?}");
        // a constant of a column with many values is another one in the next call
        let (_, _, definitions) = alone(
            &cluster,
            "SELECT note FROM orders WHERE made_at = '2026-01-01 00:00+00'",
        );
        assert!(!definitions[0].contains("WHERE"), "{definitions:?}");
        let answer = advise(
            &cluster,
            &["--statement", "SELECT id FROM docs WHERE info @> '{\"k\": 7}'"],
        );
        assert_eq!(answer["indexes"][0]["confidence"]["level"], "estimated");
        let answer = advise(
            &cluster,
            &[
                "--statement",
                "SELECT note FROM orders WHERE made_at = $1",
                "--method",
                "gin",
            ],
        );
        assert_eq!(answer["indexes"], json!([]), "only what is allowed");
    }
}

/// What is estimated for one table of a join, and what is proven for the other, are advised at once.
#[tokio::test]
async fn a_join_gets_its_estimated_index_beside_its_proven_one() {
    const PRODUCTS: &str = "CREATE EXTENSION hypopg; CREATE EXTENSION pg_trgm;
        CREATE TABLE products (id int PRIMARY KEY, title text); CREATE TABLE items (id int, product_id int, amount int);
        INSERT INTO products SELECT g, md5(g::text) || md5((g + 1)::text) FROM generate_series(1, 30000) g;
        INSERT INTO items SELECT g, 1 + g * 7919 % 30000, g % 10 FROM generate_series(1, 60000) g;
        ANALYZE products; ANALYZE items";
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", PRODUCTS).await;
        let statement = "SELECT i.amount FROM products p JOIN items i ON i.product_id = p.id WHERE p.title ILIKE '%abc123%'";
        let (status, why, definitions) = alone(&cluster, statement);
        assert_eq!(status, "improved", "on {version}: {why}");
        for part in [
            "USING gin (title public.gin_trgm_ops)",
            "items USING btree (product_id",
        ] {
            let is_there = definitions.iter().any(|one| one.contains(part));
            assert!(is_there, "on {version}: {part}: {definitions:?}");
        }
    }
}

#[tokio::test]
async fn captured_statements_are_advised_and_looking_changes_nothing() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster
            .sql("postgres", &format!("{SHOP}; CREATE EXTENSION IF NOT EXISTS pg_stat_statements; CREATE SCHEMA theirs;
                CREATE TABLE theirs.things AS SELECT g AS a, repeat('y', 40) AS b FROM generate_series(1, 30000) g; ANALYZE theirs.things;
                CREATE ROLE app LOGIN; GRANT USAGE ON SCHEMA theirs TO app; GRANT SELECT ON theirs.things TO app;
                ALTER ROLE app SET search_path = theirs; SELECT pg_stat_statements_reset()"))
            .await;
        let app = cluster.try_connect("app", "postgres").await.unwrap();
        for value in 0..20 {
            app.query("SELECT b FROM things WHERE a = $1 LIMIT $2", &[&value, &1_i64])
                .await
                .unwrap();
        }
        let counters = "SELECT (SELECT coalesce(sum(idx_scan), 0) FROM pg_stat_all_indexes WHERE schemaname IN ('public', 'theirs'))
            + 1000000 * (SELECT count(*) FROM pg_stat_statements WHERE query NOT LIKE '%pgadvisor%' AND query NOT LIKE '%idx_scan%')";
        // the counters of that session arrive a moment after it
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let before = cluster
            .number("postgres", &format!("SELECT ({counters})::int8"))
            .await;
        let answer = advise(&cluster, &[]);
        let things = answer["statements"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["text"].as_str().unwrap().contains("things"))
            .unwrap();
        assert_eq!(
            (&things["status"], &things["weight"]),
            (&json!("improved"), &json!(20.0)),
            "on {version}: {things}"
        );
        assert_eq!(
            answer["indexes"][0]["schema"], "theirs",
            "by the search_path of the role that ran it"
        );
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let after = cluster
            .number("postgres", &format!("SELECT ({counters})::int8"))
            .await;
        assert_eq!(after, before, "on {version}");
    }
}

/// A function that tells when it runs, and as whom.
const NET: &str = "
CREATE ROLE planner LOGIN; CREATE ROLE app_owner; GRANT SELECT ON orders TO planner;
CREATE FUNCTION net(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    'BEGIN RAISE LOG ''CANARY net as %'', current_user; RETURN $1; END';
ALTER FUNCTION net OWNER TO app_owner";

#[tokio::test]
async fn code_of_a_role_runs_only_where_the_operator_trusts_it() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", &format!("{SHOP}; {NET}")).await;
        let asked = ["--statement", "SELECT note FROM orders WHERE customer = net(6)"];
        for login in ["planner", "postgres"] {
            let dsn = cluster.dsn(login, "postgres");
            let told = |more: &[&str]| advised(&[&[dsn.as_str()][..], &asked[..], more].concat());
            let ran = || cluster.log().contains(&format!("CANARY net as {login}"));
            let others = ["--trust-owner", "planner", "--trust-owner", "nobody_here"];
            for trusted in [&others[..0], &others[..]] {
                let answer = told(trusted);
                let one = &answer["statements"][0];
                assert_eq!(one["status"], "not_planned", "{login} on {version}: {one}");
                let why = one["reason"].as_str().unwrap();
                for part in [
                    "function public.net(integer), owned by app_owner,",
                    "trusted_owners = [\"app_owner\"]",
                    "--trust-owner=app_owner",
                ] {
                    assert!(why.contains(part), "{login} on {version}: {why}");
                }
                let notes = answer["notes"].to_string();
                let is_told = notes.contains("nobody_here");
                assert_eq!(is_told, !trusted.is_empty(), "{notes}");
                assert!(!ran(), "{login} on {version}");
            }
            // with the rights of a superuser it runs for nobody, and that is said
            let answer = told(&["--trust-owner", "app_owner"]);
            let one = &answer["statements"][0];
            let is_planned = one["status"] != "not_planned";
            assert_eq!(is_planned, login == "planner", "{login} on {version}: {one}");
            assert_eq!(ran(), login == "planner", "{login} on {version}");
            let notes = answer["notes"].to_string();
            let is_said =
                notes.contains("only code of superusers is planned through, whomever else you trust");
            assert_eq!(is_said, login == "postgres", "{notes}");
        }
        // the configured server has names of its own
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        let dsn = cluster.dsn("planner", "postgres");
        for (owner, is_planned) in [("planner", false), ("app_owner", true)] {
            let server = format!("name = \"main\"\ndsn = \"{dsn}\"\ntrusted_owners = [\"{owner}\"]\n");
            std::fs::write(&file, format!("[[servers]]\n{server}")).unwrap();
            let answer = advised(&[&["--config", file.to_str().unwrap()][..], &asked[..]].concat());
            let one = &answer["statements"][0];
            let was_planned = one["status"] != "not_planned";
            assert_eq!(was_planned, is_planned, "{owner} on {version}: {one}");
        }
    }
}

#[tokio::test]
async fn without_hypopg_advice_is_unproven_and_says_how_to_get_it() {
    let cluster = Cluster::start(16).await;
    cluster
        .sql("postgres", &SHOP.replace("CREATE EXTENSION hypopg;", ""))
        .await;
    let answer = advise(
        &cluster,
        &["--statement", "SELECT note FROM orders WHERE made_at = $1"],
    );
    let index = &answer["indexes"][0];
    assert_eq!(index["columns"], json!(["made_at"]));
    assert_eq!(
        (&index["confidence"]["level"], &index["cost_after"]),
        (&json!("estimated"), &Value::Null)
    );
    assert!(
        answer["notes"].to_string().contains("hypopg"),
        "{}",
        answer["notes"]
    );
    assert_eq!(answer["workload"]["what_if_calls"], 0);
}

#[tokio::test]
async fn one_statement_of_a_file_that_never_ends_leaves_the_others() {
    let cluster = Cluster::start(16).await;
    cluster
        .sql("postgres", &SHOP.replace("CREATE EXTENSION hypopg;", ""))
        .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("workload.sql");
    let text = "\u{feff}-- name: first weight: 3\nSELECT note FROM orders WHERE id = 7;
-- articles by weight: kg
SELECT note FROM orders WHERE note = 'never closed;
-- filename: x
SELECT note FROM orders WHERE status = 'none';
";
    std::fs::write(&file, text).unwrap();
    let answer = advise(&cluster, &["--workload", file.to_str().unwrap()]);
    let told = answer["statements"].as_array().unwrap();
    let told: Vec<(&Value, &Value, bool)> = told
        .iter()
        .map(|one| (&one["name"], &one["weight"], one["status"] == "not_planned"))
        .collect();
    let (first, third) = (json!("first"), json!("line 4"));
    assert_eq!(
        told,
        [
            (&first, &json!(3.0), false),
            (&third, &json!(1.0), true),
            (&Value::Null, &json!(1.0), false)
        ]
    );
}

#[tokio::test]
async fn bad_input_is_told_in_one_line() {
    let cluster = Cluster::start(18).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let weightless = file("weight.sql", "-- name: a weight: -3\nSELECT 1");
    let empty = file("empty.sql", "-- nothing\n");
    let dsn = cluster.dsn("postgres", "postgres");
    for (arguments, part) in [
        (
            vec!["--workload", "/does/not/exist.sql"],
            "cannot read the workload",
        ),
        (vec!["--workload", &weightless], "weight of a"),
        (vec!["--workload", &empty], "no statement"),
        (vec!["--statement", "SELECT 1", "--budget", "much"], "--budget"),
        (vec!["--statement", "SELECT 1", "--max-width", "0"], "--max-width"),
        (
            vec!["--statement", "SELECT 1", "--time-limit", "0s"],
            "--time-limit",
        ),
        (vec!["--method", "hash"], "--method"),
        (
            vec!["--statement", "SELECT 1", "--trust-owner", ""],
            "--trust-owner",
        ),
    ] {
        let output = pgadvisor()
            .args(["advise", &dsn])
            .args(&arguments)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(
            told.contains(part) && output.stdout.is_empty(),
            "{arguments:?}: {told}"
        );
    }
    // text and SQL can be read and run
    cluster.sql("postgres", SHOP).await;
    let print = |format: &str| {
        let statement = "SELECT note FROM orders WHERE made_at = $1";
        let output = pgadvisor()
            .args(["advise", &dsn, "--statement", statement, "--format", format])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let text = print("text");
    for part in [
        "1. orders_made_at_idx on public.orders",
        " on an ordinary machine (not measured); up to ",
        "what writes pay for it in a day is not known: how often these statements run was not measured",
        "\nPlans\n",
        "    now\n      Seq Scan on orders  cost ",
        " using orders_made_at_idx on orders  cost ",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    // stopped in the middle it still ends well, with what it has
    let mut many = String::new();
    for number in 0..3000 {
        many.push_str(&format!("SELECT note FROM orders WHERE made_at > now() - interval '{number} min' AND customer = $1 AND status = $2;\n"));
    }
    let many = file("many.sql", &many);
    let mut advised = false;
    // where the machine has much else to do, little is looked at within four seconds
    for limit_seconds in [4, 12, 36] {
        let limit = format!("{limit_seconds}s");
        let answer = advise(&cluster, &["--workload", &many, "--time-limit", &limit]);
        assert_eq!(answer["workload"]["was_stopped"], true, "{}", answer["workload"]);
        assert_eq!(answer["workload"]["stopped"], "time");
        assert!(answer["notes"].to_string().contains("stopped"));
        let elapsed_seconds = answer["workload"]["elapsed_seconds"].as_f64().unwrap();
        assert!(
            elapsed_seconds < f64::from(limit_seconds) + 26.0,
            "{elapsed_seconds} s, generously"
        );
        advised = answer["indexes"] != json!([]);
        if advised {
            break;
        }
    }
    assert!(advised, "half of the time is for the search");
    let session = cluster.connect("postgres").await;
    session
        .batch_execute(&print("sql").replace("CONCURRENTLY ", ""))
        .await
        .unwrap();
    let made = "SELECT count(*) FROM pg_class WHERE relname = 'orders_made_at_idx'";
    assert_eq!(cluster.number("postgres", made).await, 1);
}
