//! Indexes that are no larger than what they save: where few rows are asked for, those alone are indexed, though an index on all
//! rows would save a unit more.

use serde_json::Value;

use crate::advise_harness::{advise, definitions};
use crate::harness::{Cluster, present};

/// Of each thousand jobs one waits, of each hundred orders one is not shipped, and of each two hundred bills one is to be looked
/// at. Nothing is vacuumed, so that no index alone answers anything, and all columns are asked for, so that none is carried along.
const WORK: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE jobs (id int, state text, prio int, run_at timestamptz, payload text) WITH (autovacuum_enabled = off);
INSERT INTO jobs SELECT g, CASE WHEN g % 1000 = 0 THEN 'queued' ELSE 'done' END, g / 1000 % 10,
    timestamptz '2026-01-01' + (g::bigint * 7919 % 300000) * interval '1 min', repeat('x', 60) FROM generate_series(1, 300000) g;
CREATE TABLE orders (id int, customer_id int, shipped timestamptz, note text) WITH (autovacuum_enabled = off);
INSERT INTO orders SELECT g, g::bigint * 7919 % 20000,
    CASE WHEN g % 100 > 0 THEN timestamptz '2026-01-01' + g * interval '1 min' END, repeat('x', 60) FROM generate_series(1, 300000) g;
CREATE TABLE bills (id int, status text, placed timestamptz, note text) WITH (autovacuum_enabled = off);
INSERT INTO bills SELECT g, CASE WHEN g % 500 = 0 THEN 'pending' WHEN g % 333 = 0 THEN 'failed' ELSE 'done' END,
    timestamptz '2026-01-01' + (g::bigint * 7919 % 300000) * interval '1 min', repeat('x', 60) FROM generate_series(1, 300000) g;
ANALYZE jobs; ANALYZE orders; ANALYZE bills";

/// Each statement, and what its one index must hold.
const ASKED: [(&str, &[&str]); 7] = [
    (
        "SELECT * FROM jobs WHERE state = 'queued' ORDER BY prio DESC, run_at LIMIT 1",
        &["(prio DESC, run_at)", "WHERE state = 'queued'"],
    ),
    (
        "SELECT * FROM jobs WHERE state = 'queued' ORDER BY prio DESC, run_at LIMIT 1 FOR UPDATE SKIP LOCKED",
        &["(prio DESC, run_at)", "WHERE state = 'queued'"],
    ),
    (
        "SELECT * FROM bills WHERE status = 'pending' OR status = 'failed' ORDER BY placed DESC LIMIT 20",
        &["(placed", " WHERE ", "'pending'", "'failed'"],
    ),
    (
        "SELECT * FROM bills WHERE status IN ('pending', 'failed') ORDER BY placed DESC LIMIT 20",
        &["(placed", " WHERE ", "pending", "failed"],
    ),
    (
        "SELECT * FROM orders WHERE customer_id = $1 AND shipped IS NULL",
        &["(customer_id)", "WHERE shipped IS NULL"],
    ),
    (
        "DELETE FROM orders WHERE customer_id = $1 AND shipped IS NULL",
        &["(customer_id)", "WHERE shipped IS NULL"],
    ),
    // what is done is nearly all of the rows
    (
        "SELECT * FROM jobs WHERE state = 'done' AND run_at = $1",
        &["(run_at"],
    ),
];

#[tokio::test]
async fn few_rows_are_indexed_alone_though_all_of_them_would_save_a_unit_more() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", WORK).await;
        for (statement, parts) in ASKED {
            let answer = advise(&cluster, "postgres", statement, &[]);
            let told = format!("on {version}: {statement}: {answer}");
            assert_eq!(answer["statements"][0]["status"], "improved", "{told}");
            assert!(
                answer["workload"]["what_if_calls"].as_u64().unwrap() <= 20,
                "{told}"
            );
            let [definition] = definitions(&answer)[..] else {
                panic!("{told}");
            };
            for part in parts {
                assert!(definition.contains(part), "{part} {told}");
            }
            let is_part = parts.iter().any(|part| part.contains("WHERE"));
            let bytes = answer["indexes"][0]["size_bytes"].as_f64().unwrap();
            assert_eq!(bytes < 1e6, is_part, "{told}");
        }
        // who wants no parts has all rows
        let whole = advise(&cluster, "postgres", ASKED[0].0, &["--no-partial"]);
        let level = |answer: &Value| answer["indexes"][0]["confidence"]["level"].clone();
        assert_eq!(level(&whole), "verified", "on {version}: {whole}");
        assert!(
            !definitions(&whole)[0].contains(" WHERE "),
            "on {version}: {whole}"
        );
    }
}
