//! Indexes of partitioned tables where HypoPG shows the planner none, or one on other columns: on expressions, and where partitions
//! number their columns by themselves.

use serde_json::Value;

use crate::advise_harness::{self, definitions};
use crate::harness::{Cluster, present};

fn advise(cluster: &Cluster, statement: &str) -> Value {
    advise_harness::advise(cluster, "postgres", statement, &[])
}

/// What a statement costs as things are.
async fn cost_of(cluster: &Cluster, statement: &str) -> f64 {
    let client = cluster.connect("postgres").await;
    let explained = client
        .query_one(&format!("EXPLAIN (FORMAT JSON) {statement}"), &[])
        .await;
    let plan: Value = explained.unwrap().get(0);
    plan[0]["Plan"]["Total Cost"].as_f64().unwrap()
}

/// `visits_4` has its columns in another order; `orders` lost a column after its first partition was made.
const NUMBERED: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE visits_4 (kind int, day date NOT NULL, note text, id int);
CREATE TABLE visits (id int, kind int, day date, note text) PARTITION BY RANGE (day);
CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
ALTER TABLE visits ATTACH PARTITION visits_4 FOR VALUES FROM ('2024-04-01') TO ('2024-05-01');
INSERT INTO visits SELECT g, g % 10, date '2024-01-01' + g % 31, repeat('x', 100) FROM generate_series(1, 30000) g;
INSERT INTO visits SELECT g, g % 10, date '2024-04-01' + g % 30, repeat('x', 100) FROM generate_series(1, 30000) g;
CREATE TABLE orders (gone text, id int, customer int, note text) PARTITION BY RANGE (id);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (0) TO (30000);
ALTER TABLE orders DROP COLUMN gone;
CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM (30000) TO (MAXVALUE);
INSERT INTO orders SELECT g, g * 7919 % 20000, repeat('x', 100) FROM generate_series(1, 60000) g";

#[tokio::test]
async fn a_partition_with_numbers_of_its_own_is_indexed_on_the_right_columns() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", NUMBERED).await;
        cluster.sql("postgres", "VACUUM ANALYZE visits, orders").await;
        for (statement, column) in [
            ("SELECT * FROM visits WHERE id = 77 AND day = '2024-04-18'", "id"),
            ("SELECT * FROM orders WHERE customer = 77", "customer"),
        ] {
            let answer = advise(&cluster, statement);
            let index = &answer["indexes"][0];
            assert_eq!(index["columns"][0], column, "on {version}: {answer}");
            assert_eq!(index["confidence"]["level"], "verified", "on {version}: {answer}");
            let told = answer["statements"][0]["cost_after"].as_f64().unwrap();
            for sql in index["apply_sql"].as_array().unwrap() {
                cluster.sql("postgres", sql.as_str().unwrap()).await;
            }
            let real = cost_of(&cluster, statement).await;
            assert!(
                (real - told).abs() <= 0.3 * real,
                "on {version}: {statement} costs {real}, {told} was told"
            );
        }
    }
}

/// Of `people` the partitions are of different sizes, and one is empty.
const PEOPLE: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE people (id int, region text, email text, note text) PARTITION BY LIST (region);
CREATE TABLE people_a PARTITION OF people FOR VALUES IN ('a');
CREATE TABLE people_b PARTITION OF people FOR VALUES IN ('b');
CREATE TABLE people_c PARTITION OF people FOR VALUES IN ('c');
INSERT INTO people SELECT g, CASE WHEN g % 3 = 0 THEN 'b' ELSE 'a' END, 'P' || g || '@example.org', repeat('x', 100)
    FROM generate_series(1, 90000) g";

#[tokio::test]
async fn a_partitioned_table_gets_its_expression() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", PEOPLE).await;
        cluster.sql("postgres", "VACUUM ANALYZE people").await;
        let answer = advise(&cluster, "SELECT * FROM people WHERE lower(email) = $1");
        let index = &answer["indexes"][0];
        let definition = index["definition"].as_str().unwrap_or_default();
        assert!(definition.contains("lower(email)"), "on {version}: {answer}");
        assert_eq!(index["table"], "people", "on {version}: {answer}");
        let confidence = &index["confidence"];
        assert_eq!(confidence["level"], "estimated", "on {version}: {answer}");
        let reason = confidence["reason"].as_str().unwrap();
        assert!(
            reason.contains("of the largest of its partitions"),
            "on {version}: {answer}"
        );
        assert_eq!(
            answer["statements"][0]["status"], "improved",
            "on {version}: {answer}"
        );
        // what nothing is searched by gets none
        let all = advise(&cluster, "SELECT lower(email) FROM people");
        assert!(definitions(&all).is_empty(), "on {version}: {all}");
    }
}
