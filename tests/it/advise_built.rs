//! What was advised, built for real: the planner takes each index for the statement it was advised for, and what it then says
//! a statement costs is near what it was told to cost.

use std::path::Path;

use serde_json::{Value, json};

use crate::advise_harness::advised;
use crate::advise_sql::SHOP;
use crate::harness::{Cluster, present};

/// Tasks with little that is open, and readings in the order in which they came.
const MORE: &str = "
CREATE TABLE tasks (id int PRIMARY KEY, owner int, priority int, made_at timestamptz, done_at timestamptz, label text);
INSERT INTO tasks SELECT g, g * 7919 % 3000, g * 31 % 100, timestamptz '2026-01-01' + (g * 7907 % 50000) * interval '1 min',
    CASE WHEN g % 400 > 0 THEN timestamptz '2026-02-01' END, repeat('x', 150) FROM generate_series(1, 50000) g;
CREATE TABLE readings (sensor int, at timestamptz NOT NULL, value float8, note text);
INSERT INTO readings SELECT g % 50, timestamptz '2026-01-01' + g * interval '1 s', g % 977, repeat('x', 60)
    FROM generate_series(1, 150000) g";

/// Each statement with the name of what it is about. None has parameters, so that it can be planned as it stands.
const STATEMENTS: [(&str, &str); 18] = [
    ("is null", "SELECT id FROM tasks WHERE done_at IS NULL"),
    (
        "group by",
        "SELECT owner, count(*) FROM tasks GROUP BY owner LIMIT 10",
    ),
    (
        "mixed order",
        "SELECT id, label FROM tasks ORDER BY priority ASC, made_at DESC LIMIT 10",
    ),
    (
        "window",
        "SELECT id, row_number() OVER (PARTITION BY customer_id ORDER BY made_at) FROM orders WHERE customer_id = 77",
    ),
    (
        "distinct on",
        "SELECT DISTINCT ON (customer_id) customer_id, made_at FROM orders WHERE customer_id < 100
         ORDER BY customer_id, made_at DESC",
    ),
    (
        "lateral",
        "SELECT c.id, l.id FROM customers c CROSS JOIN LATERAL
            (SELECT o.id FROM orders o WHERE o.customer_id = c.id ORDER BY o.made_at DESC LIMIT 3) l
         WHERE c.country = 'SE' LIMIT 100",
    ),
    (
        "exists",
        "SELECT id FROM customers c WHERE c.email = 'user77@example.org'
         AND EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id AND o.total > 990)",
    ),
    (
        "not exists",
        "SELECT id FROM customers c WHERE c.email = 'user78@example.org'
         AND NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id AND o.made_at > '2026-02-01')",
    ),
    (
        "any",
        "SELECT * FROM orders WHERE customer_id = ANY ('{77,78,79}')",
    ),
    (
        "range",
        "SELECT count(*) FROM orders WHERE made_at BETWEEN '2026-01-20' AND '2026-01-21'",
    ),
    (
        "update with a join",
        "UPDATE orders o SET total = 1 FROM customers c WHERE c.id = o.customer_id AND c.email = 'user79@example.org'",
    ),
    (
        "delete with a join",
        "DELETE FROM items i USING orders o WHERE o.id = i.order_id AND o.code = 'C77'",
    ),
    (
        "merge",
        "MERGE INTO stock s USING (SELECT 77 AS product_id, 1 AS warehouse) n
         ON s.product_id = n.product_id AND s.warehouse = n.warehouse
         WHEN MATCHED THEN UPDATE SET amount = s.amount + 1 WHEN NOT MATCHED THEN INSERT VALUES (77, 1, 1)",
    ),
    (
        "expression",
        "SELECT id FROM customers WHERE lower(email) = 'user77@example.org'",
    ),
    (
        "few rows",
        "SELECT id FROM orders WHERE status = 'open' ORDER BY made_at DESC LIMIT 5",
    ),
    ("pattern", "SELECT id FROM customers WHERE name LIKE 'abcd%'"),
    (
        "either",
        "SELECT * FROM orders WHERE code = 'C78' OR customer_id = 80",
    ),
    (
        "extreme",
        "SELECT max(sent_at) FROM orders WHERE customer_id = 81",
    ),
];

fn advise(cluster: &Cluster, workload: &Path, more: &[&str]) -> Value {
    let asked = [&["--workload", workload.to_str().unwrap()], more].concat();
    advised(cluster, "postgres", &asked)
}

/// Runs what the advice says, and has the statistics made that come with it.
async fn build(cluster: &Cluster, answer: &Value) {
    for index in answer["indexes"].as_array().unwrap() {
        for sql in index["apply_sql"].as_array().unwrap() {
            cluster.sql("postgres", sql.as_str().unwrap()).await;
        }
    }
    cluster.sql("postgres", "VACUUM ANALYZE").await;
}

/// The plan of a statement as it is now.
async fn plan_of(cluster: &Cluster, text: &str) -> Value {
    let session = cluster.connect("postgres").await;
    let sql = format!("EXPLAIN (FORMAT JSON) {text}");
    let plan: Value = session.query_one(&sql, &[]).await.unwrap().get(0);
    plan[0]["Plan"].clone()
}

/// The names of the indexes that a statement was told to use.
fn promised<'a>(answer: &'a Value, statement: &Value) -> Vec<&'a str> {
    let uses = statement["uses"].as_array().unwrap();
    let indexes = answer["indexes"].as_array().unwrap().iter();
    indexes
        .filter(|index| uses.contains(&index["definition"]))
        .map(|index| index["name"].as_str().unwrap())
        .collect()
}

fn takes(plan: &Value, index: &str) -> bool {
    let is_this = plan["Index Name"] == index;
    is_this
        || plan["Plans"]
            .as_array()
            .is_some_and(|below| below.iter().any(|plan| takes(plan, index)))
}

#[tokio::test]
async fn what_was_advised_is_used_once_it_is_built_and_costs_what_was_told() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", SHOP).await;
        cluster.sql("postgres", MORE).await;
        cluster.sql("postgres", "VACUUM ANALYZE").await;
        let folder = tempfile::tempdir().unwrap();
        let workload = folder.path().join("workload.sql");
        let named = STATEMENTS.map(|(name, text)| format!("-- name: {}\n{text};\n", name.replace(' ', "_")));
        std::fs::write(&workload, named.concat()).unwrap();
        let answer = advise(&cluster, &workload, &[]);
        let told = answer["statements"].as_array().unwrap();
        assert_eq!(told.len(), STATEMENTS.len());
        build(&cluster, &answer).await;
        let (mut uses, mut unused) = (0, Vec::new());
        let (mut near, mut costs) = (0, Vec::new());
        let (mut all_told, mut all_real) = (0.0, 0.0);
        for ((name, text), told) in STATEMENTS.iter().zip(told) {
            assert_eq!(told["status"], "improved", "{name} on {version}: {told}");
            let plan = plan_of(&cluster, text).await;
            let promised = promised(&answer, told);
            assert!(!promised.is_empty(), "{name} on {version}: {told}");
            let taken = promised.iter().filter(|index| takes(&plan, index)).count();
            assert!(taken > 0, "{name} on {version}: none of {promised:?} in {plan:#}");
            uses += promised.len();
            if taken < promised.len() {
                unused.push(format!("{name}: not all of {promised:?} in {plan}"));
            }
            let (was_told, real) = (
                told["cost_after"].as_f64().unwrap(),
                plan["Total Cost"].as_f64().unwrap(),
            );
            near += usize::from((real - was_told).abs() <= 0.2 * was_told);
            costs.push(format!("{name}: {was_told} told, {real} real"));
            all_told += was_told;
            all_real += real;
        }
        // where two indexes are as good, real statistics may prefer one of them
        assert!(unused.len() * 10 <= uses, "on {version}: {}", unused.join("\n"));
        assert!(
            2 * near > STATEMENTS.len(),
            "on {version}: {near} are near: {}",
            costs.join("\n")
        );
        assert!(
            all_real <= 1.2 * all_told,
            "on {version}: {all_real} instead of {all_told}: {}",
            costs.join("\n")
        );
        // what is there is not advised again
        let again = advise(&cluster, &workload, &[]);
        let definitions = |answer: &Value| -> Vec<Value> {
            let indexes = answer["indexes"].as_array().unwrap();
            let what = ["table", "method", "columns", "include", "predicate"];
            let definition = |index: &Value| Value::from(what.map(|part| index[part].clone()).to_vec());
            indexes.iter().map(definition).collect()
        };
        let known = definitions(&answer);
        let repeated: Vec<Value> = definitions(&again)
            .into_iter()
            .filter(|one| known.contains(one))
            .collect();
        assert_eq!(repeated, Vec::<Value>::new(), "on {version}");
    }
}

#[tokio::test]
async fn an_index_of_block_ranges_is_used_once_it_is_built() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", "CREATE EXTENSION hypopg").await;
        cluster.sql("postgres", MORE).await;
        cluster.sql("postgres", "VACUUM ANALYZE").await;
        let folder = tempfile::tempdir().unwrap();
        let workload = folder.path().join("workload.sql");
        let text =
            "SELECT sum(value) FROM readings WHERE at BETWEEN '2026-01-01 10:00' AND '2026-01-01 10:20'";
        std::fs::write(&workload, text).unwrap();
        let answer = advise(&cluster, &workload, &["--method", "brin"]);
        let told = &answer["statements"][0];
        assert_eq!(told["status"], "improved", "on {version}: {told}");
        let index = &answer["indexes"][0];
        assert_eq!(
            (&index["method"], &index["columns"]),
            (&json!("brin"), &json!(["at"])),
            "on {version}: {index}"
        );
        build(&cluster, &answer).await;
        let plan = plan_of(&cluster, text).await;
        let name = index["name"].as_str().unwrap();
        assert!(takes(&plan, name), "on {version}: {plan:#}");
        let before = told["cost_before"].as_f64().unwrap();
        let real = plan["Total Cost"].as_f64().unwrap();
        let after = told["cost_after"].as_f64().unwrap();
        assert!(
            real < before && real <= 1.2 * after,
            "on {version}: {real} instead of {after}, {before} without"
        );
    }
}
