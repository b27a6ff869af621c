//! Advice for statements that stop at a LIMIT: for known values the planner knows how far they read.

use serde_json::Value;

use crate::advise_harness::{advise, advised, definitions};
use crate::harness::{Cluster, present};

/// Orders of which one in 250 is pending and half cost more than 500, and a log with an index in the order of its time, in which one
/// line of a thousand is an error.
const SHOP: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE customer (id int PRIMARY KEY, country text) WITH (autovacuum_enabled = off);
INSERT INTO customer SELECT g, CASE WHEN g % 50 = 0 THEN 'NO' WHEN g % 3 = 0 THEN 'SE' ELSE 'US' END FROM generate_series(1, 20000) g;
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, status text, amount int, placed int, note text)
    WITH (autovacuum_enabled = off);
INSERT INTO orders SELECT g, 1 + g * 7919 % 20000, CASE WHEN g % 250 = 0 THEN 'pending' ELSE 'done' END, g * 7 % 1000,
    (g::bigint * 104729 % 120000)::int, repeat('x', 60) FROM generate_series(1, 120000) g;
CREATE TABLE log (at int, host int, level text, line text) WITH (autovacuum_enabled = off);
INSERT INTO log SELECT g, g * 31 % 100, CASE WHEN g % 1000 = 0 THEN 'error' ELSE 'info' END, repeat('m', 60)
    FROM generate_series(1, 120000) g;
CREATE INDEX log_at ON log (at);
ANALYZE customer; ANALYZE orders; ANALYZE log";

fn of(answer: &Value, name: &str) -> Vec<f64> {
    let statements = answer["statements"].as_array().unwrap().iter();
    statements.map(|one| one[name].as_f64().unwrap()).collect()
}

#[tokio::test]
async fn an_order_is_kept_for_what_reads_it_soon_for_every_value() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", SHOP).await;
        for statement in [
            "SELECT * FROM orders WHERE amount > $1 ORDER BY placed DESC LIMIT 10",
            "SELECT o.* FROM orders o JOIN customer c ON c.id = o.customer_id WHERE c.country = $1 ORDER BY o.placed DESC LIMIT 10",
        ] {
            let answer = advise(&cluster, "postgres", statement, &[]);
            let told = format!("{statement} on {version}: {answer}");
            assert!(
                definitions(&answer).iter().any(|one| one.contains("(placed")),
                "{told}"
            );
            assert!(
                of(&answer, "cost_after")[0] < 0.1 * of(&answer, "cost_before")[0],
                "{told}"
            );
            assert!(
                answer["notes"].to_string().contains("a median and a rare value"),
                "{told}"
            );
            assert!(
                answer["workload"]["what_if_calls"].as_u64().unwrap() <= 20,
                "{told}"
            );
        }
    }
}

/// With the index that is there the plan for parameters in general looks cheap, and for errors the planner itself reads the whole log.
#[tokio::test]
async fn an_order_that_is_there_is_no_answer_for_rare_values() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", SHOP).await;
        let statement = "SELECT * FROM log WHERE host = $1 AND level = $2 ORDER BY at DESC LIMIT 10";
        let answer = advise(&cluster, "postgres", statement, &[]);
        let told = format!("on {version}: {answer}");
        let is_it = |one: &&str| one.contains("(level, host, at") || one.contains("(host, level, at");
        assert!(definitions(&answer).iter().any(is_it), "{told}");
        let (before, after) = (of(&answer, "cost_before")[0], of(&answer, "cost_after")[0]);
        let in_general = answer["statements"][0]["plan_before"][0]["cost"]
            .as_f64()
            .unwrap();
        assert!(after < in_general && in_general < 0.2 * before, "{told}");
        assert!(
            answer["notes"].to_string().contains("an index that is there"),
            "{told}"
        );
        // all values are found in it at once
        let plain = "SELECT * FROM log WHERE at > $1 ORDER BY at LIMIT 10";
        let answer = advise(&cluster, "postgres", plain, &[]);
        assert!(definitions(&answer).is_empty(), "on {version}: {answer}");
    }
}

#[tokio::test]
async fn what_stops_early_without_luck_is_what_the_planner_says() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", SHOP).await;
        for (statement, keys) in [
            // the greatest becomes a LIMIT once there is an index that ends in it
            (
                "SELECT max(placed) FROM orders WHERE status = $1",
                "(status, placed",
            ),
            // what is read in its order stays that way, and another table gets its index
            (
                "SELECT l.at, (SELECT count(*) FROM orders o WHERE o.customer_id = l.at) FROM log l WHERE l.host > $1 \
                 ORDER BY l.at LIMIT 20",
                "orders USING btree (customer_id",
            ),
            (
                "SELECT * FROM orders x WHERE x.customer_id = $1 FOR UPDATE OF x",
                "(customer_id",
            ),
            // of one customer there is little to read, however rare the rest is
            (
                "SELECT * FROM orders WHERE customer_id = $1 AND note LIKE $2 || '%' ORDER BY placed LIMIT 3",
                "(customer_id",
            ),
        ] {
            let answer = advise(&cluster, "postgres", statement, &[]);
            let told = format!("{statement} on {version}: {answer}");
            let [definition] = &definitions(&answer)[..] else {
                panic!("{told}")
            };
            assert!(definition.contains(keys), "{told}");
            assert!(
                of(&answer, "cost_after")[0] < 0.05 * of(&answer, "cost_before")[0],
                "{told}"
            );
        }
    }
}

/// What comes after the last row that was seen, as those write it whose tools do not compare rows.
#[tokio::test]
async fn pages_behind_a_row_have_one_index_in_their_order() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", SHOP).await;
        for (statement, keys) in [
            (
                "SELECT id FROM orders WHERE placed < $1 OR (placed = $1 AND id < $2) ORDER BY placed DESC, id DESC LIMIT 20",
                "(placed",
            ),
            (
                "SELECT id FROM orders WHERE customer_id = $1 AND (placed < $2 OR (placed = $2 AND id < $3)) \
                 ORDER BY placed DESC, id DESC LIMIT 20",
                "(customer_id",
            ),
        ] {
            let answer = advise(&cluster, "postgres", statement, &[]);
            let told = format!("{statement} on {version}: {answer}");
            let [definition] = &definitions(&answer)[..] else {
                panic!("{told}")
            };
            assert!(definition.contains(keys), "{told}");
            assert!(
                of(&answer, "cost_after")[0] < 0.05 * of(&answer, "cost_before")[0],
                "{told}"
            );
            assert!(
                answer["workload"]["what_if_calls"].as_u64().unwrap() <= 20,
                "{told}"
            );
        }
    }
}

/// In the order of its time mail is stored, so that for any folder the planner would rather read the latest of all.
const MAIL: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE mail (id int, folder text, sent int, note text) WITH (autovacuum_enabled = off);
INSERT INTO mail SELECT g, CASE WHEN g * 7 % 100 < 2 THEN 'trash' WHEN g * 7 % 100 < 10 THEN 'archive' ELSE 'inbox' END, g,
    repeat('x', 300) FROM generate_series(1, 120000) g;
ANALYZE mail";

#[tokio::test]
async fn an_index_of_others_that_serves_by_luck_stands_in_no_one_s_way() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", MAIL).await;
        let asked = [
            "--statement",
            "SELECT * FROM mail WHERE sent > 119500",
            "--statement",
            "SELECT * FROM mail WHERE folder = $1 ORDER BY sent DESC LIMIT $2",
        ];
        let answer = advised(&cluster, "postgres", &asked);
        let told = format!("on {version}: {answer}");
        let all = definitions(&answer);
        for keys in ["(sent", "(folder, sent"] {
            assert!(all.iter().any(|one| one.contains(keys)), "{keys} {told}");
        }
        assert!(
            of(&answer, "cost_after")[1] < 0.5 * of(&answer, "cost_before")[1],
            "{told}"
        );
        let reason = answer["statements"][1]["reason"].as_str().unwrap();
        assert!(reason.contains("force_custom_plan"), "{told}");
        assert!(
            answer["workload"]["what_if_calls"].as_u64().unwrap() <= 40,
            "{told}"
        );
    }
}

#[tokio::test]
async fn no_set_is_told_that_is_dearer_than_none() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", SHOP).await;
        // the first one's index is what the second one would be read by, which no value of an expression tells anything of
        let answer = advised(
            &cluster,
            "postgres",
            &[
                "--statement",
                "SELECT * FROM orders WHERE placed = $1",
                "--statement",
                "SELECT * FROM orders WHERE amount % 500 = $1 ORDER BY placed LIMIT 10",
                "--statement",
                "SELECT * FROM orders WHERE status = $1 ORDER BY placed LIMIT 10",
                "--no-expression",
                "--no-partial",
                "--max-width",
                "1",
            ],
        );
        let told = format!("on {version}: {answer}");
        assert!(
            definitions(&answer).iter().any(|one| one.contains("(placed")),
            "{told}"
        );
        let costs = of(&answer, "cost_before")
            .into_iter()
            .zip(of(&answer, "cost_after"));
        assert!(costs.into_iter().all(|(before, after)| after <= before), "{told}");
        let unserved = &answer["statements"][1];
        assert_eq!(unserved["status"], "unchanged", "{told}");
        assert!(
            unserved["reason"]
                .as_str()
                .unwrap()
                .contains("until the LIMIT has its rows"),
            "{told}"
        );
    }
}
