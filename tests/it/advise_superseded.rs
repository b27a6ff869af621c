//! What `pgadvisor advise` calls superfluous once the advised indexes are there: SQL that the server takes, and only what the
//! planner does not miss.

use serde_json::Value;

use crate::advise_harness::advised;
use crate::harness::{Cluster, present};

/// Nothing is vacuumed, so that no index alone answers anything.
const BILLS: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE bills (id int, customer int, made_at timestamptz, note text) WITH (autovacuum_enabled = off);
INSERT INTO bills SELECT g, g % 250, timestamptz '2026-01-01' + g * 7919 % 50000 * interval '1 min', repeat('x', 60)
    FROM generate_series(1, 50000) g;
CREATE INDEX bills_old ON bills (customer);
CREATE TABLE ledger (id int, customer int, made_at timestamptz, note text) PARTITION BY RANGE (made_at);
CREATE TABLE ledger_1 PARTITION OF ledger FOR VALUES FROM (MINVALUE) TO ('2026-01-20') WITH (autovacuum_enabled = off);
CREATE TABLE ledger_2 PARTITION OF ledger FOR VALUES FROM ('2026-01-20') TO (MAXVALUE) WITH (autovacuum_enabled = off);
INSERT INTO ledger SELECT * FROM bills;
CREATE INDEX ledger_old ON ledger (customer);
ANALYZE bills; ANALYZE ledger";

/// What an index on one more column is for.
fn newest(table: &str) -> String {
    format!("SELECT * FROM {table} WHERE customer = $1 AND made_at > $2")
}

fn advise(cluster: &Cluster, statements: &[&str]) -> Value {
    let mut asked = vec!["--no-include"];
    for statement in statements {
        asked.extend(["--statement", *statement]);
    }
    advised(cluster, "postgres", &asked)
}

/// Whether a note says that the planner was not asked.
fn is_unproven(answer: &Value) -> bool {
    answer["notes"]
        .to_string()
        .contains("proven by definition only, not rehearsed")
}

#[tokio::test]
async fn what_is_superseded_can_be_dropped_as_it_is_told() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", BILLS).await;
        for (table, drop) in [
            ("bills", "DROP INDEX CONCURRENTLY public.bills_old"),
            ("ledger", "DROP INDEX public.ledger_old"),
        ] {
            let answer = advise(&cluster, &[&newest(table)]);
            let index = &answer["indexes"][0];
            assert_eq!(
                index["supersedes"],
                serde_json::json!([drop]),
                "on {version}: {answer}"
            );
            assert!(!is_unproven(&answer), "no plan takes it: {answer}");
            // and made again; of a partitioned table only by hand, since that locks all of it
            let by_hand = "this makes it: CREATE INDEX ledger_old ON public.ledger USING btree (customer)";
            let is_by_hand = answer["notes"].to_string().contains(by_hand);
            assert_eq!(is_by_hand, table == "ledger", "on {version}: {answer}");
            let again: &[&str] = match is_by_hand {
                true => &["apply_sql"],
                false => &["apply_sql", "supersedes"],
            };
            for part in ["apply_sql", "supersedes", "undo_sql"].iter().chain(again) {
                for sql in index[part].as_array().unwrap() {
                    cluster.sql("postgres", sql.as_str().unwrap()).await;
                }
            }
        }
        let old = "SELECT count(*) FROM pg_class WHERE relname IN ('bills_old', 'ledger_old') OR relname LIKE 'ledger%customer_idx'";
        assert_eq!(cluster.number("postgres", old).await, 0, "on {version}");
        let there = "SELECT count(*) FROM pg_index JOIN pg_class ON oid = indexrelid
            WHERE relname LIKE ANY ('{bills%,ledger%}') AND indisvalid";
        assert_eq!(
            cluster.number("postgres", there).await,
            4,
            "of bills, of ledger and of its partitions, on {version}"
        );
    }
}

#[tokio::test]
async fn what_a_statement_would_miss_is_not_superseded() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", BILLS).await;
        // a tenth of the old index is far smaller than a tenth of the new one
        for (table, range) in [
            ("bills", "SELECT * FROM bills WHERE customer < 25"),
            ("ledger", "SELECT * FROM ledger WHERE customer < 25"),
        ] {
            let answer = advise(&cluster, &[&newest(table), range]);
            let index = &answer["indexes"][0];
            assert_eq!(index["table"], table, "on {version}: {answer}");
            let superseded = index["supersedes"].as_array().unwrap().len();
            assert!(superseded == 0 && !is_unproven(&answer), "on {version}: {answer}");
            // how it does without is not to be seen by an older HypoPG
            let notes = answer["notes"].to_string();
            let is_left_out = notes.contains("_old is not told as superfluous");
            assert_eq!(is_left_out, version == 15, "on {version}: {answer}");
        }
    }
}
