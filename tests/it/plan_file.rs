//! `pgadvisor plan` on what real servers print.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Cluster, pgadvisor, present};

fn judged(plan: &str, format: &str) -> (Option<i32>, String, String) {
    let mut child = pgadvisor()
        .args(["plan", "-", "--format", format])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(plan.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_plan_that_was_run_is_judged() {
    for version in present(&[14, 15, 16, 17, 18]) {
        let cluster = Cluster::start(version).await;
        let tables = "CREATE TABLE orders AS SELECT g AS id, g % 2 AS kind, g % 2 AS same, repeat('x', 80) AS note FROM generate_series(1, 60000) g;
            CREATE TABLE items AS SELECT g AS order_id, 'secret' AS word FROM generate_series(1, 60000) g; ANALYZE";
        cluster.sql("postgres", tables).await;
        let session = cluster.connect("postgres").await;
        session
            .batch_execute("SET work_mem = '64kB'; SET max_parallel_workers_per_gather = 0")
            .await
            .unwrap();
        let explained = async |options: &str, query: &str| {
            let sql = format!("EXPLAIN ({options}FORMAT JSON) {query}");
            let plan: Value = session.query_one(&sql, &[]).await.unwrap().get(0);
            plan.to_string()
        };
        let sorted = "SELECT * FROM orders ORDER BY note, id DESC";
        let plan = explained("ANALYZE, BUFFERS, ", sorted).await;
        let (code, out, _) = judged(&plan, "json");
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &report["is_measured"]), (Some(0), &Value::Bool(true)));
        assert_eq!(
            report["problems"][0]["problem"], "spill",
            "on {version}: {report}"
        );
        let remedy = report["problems"][0]["remedy"][0].as_str().unwrap();
        assert!(remedy.starts_with("SET LOCAL work_mem = '"), "{remedy}");
        // what is told to do helps
        let enough = remedy.split(" in ").next().unwrap();
        session
            .batch_execute(&enough.replace("LOCAL ", ""))
            .await
            .unwrap();
        let plan = explained("ANALYZE, BUFFERS, ", sorted).await;
        let (_, out, _) = judged(&plan, "text");
        assert!(
            out.contains("nothing in this plan went wrong"),
            "on {version}: {out}"
        );

        let dependent = "SELECT count(*) FROM orders WHERE kind = 0 AND same = 0 AND id % 2 = 0";
        let plan = explained("ANALYZE, ", dependent).await;
        let (_, out, _) = judged(&plan, "text");
        assert!(
            out.contains("misestimate: Seq Scan on orders"),
            "on {version}: {out}"
        );
        let filtered = "SELECT 1 FROM items WHERE word = 'secret' AND order_id = 7";
        let plan = explained("ANALYZE, ", filtered).await;
        let (_, out, _) = judged(&plan, "json");
        assert!(
            out.contains("rows_discarded") && !out.contains("secret"),
            "on {version}: {out}"
        );
        let (_, out, _) = judged(&explained("", sorted).await, "text");
        assert!(out.contains("nothing was measured"), "on {version}: {out}");
    }
}

#[tokio::test]
async fn a_plan_of_many_levels_is_read() {
    let cluster = Cluster::start(16).await;
    let session = cluster.connect("postgres").await;
    let mut query = "SELECT g FROM generate_series(1, 1000) AS g LIMIT 900".to_owned();
    for level in 0..70 {
        query = format!("SELECT g FROM ({query}) AS q{level} LIMIT {}", 899 - level);
    }
    // as text: the parser of this test goes no deeper than the one that is tested would by itself
    let explain = format!("EXPLAIN (ANALYZE, FORMAT JSON) {query}");
    let rows = session.simple_query(&explain).await.unwrap();
    let plan = rows.iter().find_map(|row| match row {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let (code, out, error) = judged(plan.unwrap(), "json");
    assert_eq!(code, Some(0), "{error}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let lines = report["plan"].as_array().unwrap();
    assert!(lines.len() > 70, "{} lines", lines.len());
    let deepest = lines.last().unwrap();
    assert!(
        deepest["node"].as_str().unwrap().contains("Function Scan"),
        "{deepest}"
    );
}

#[test]
fn what_is_no_plan_is_told_in_one_line() {
    for text in [
        "",
        "Seq Scan on t  (cost=0.00..1.00 rows=1 width=4)",
        "[]",
        "[{\"Plan\": 7}]",
        "\u{1b}[2J",
    ] {
        let (code, out, error) = judged(text, "json");
        assert_eq!(
            (code, out.as_str(), error.lines().count()),
            (Some(2), "", 1),
            "{text}: {error}"
        );
        assert!(!error.contains('\u{1b}'));
    }
}
