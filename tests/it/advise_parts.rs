//! Indexes on expressions and on parts of the rows: where a column is mostly NULL, and on tables that are not the first of a
//! statement, which HypoPG does not see.

use serde_json::Value;

use crate::advise_harness::{self, definitions};
use crate::harness::{Cluster, present};

/// Nothing is vacuumed, so that no index alone answers anything.
const PEOPLE: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE teams (id int PRIMARY KEY, name text) WITH (autovacuum_enabled = off);
INSERT INTO teams SELECT g, 'team ' || g FROM generate_series(1, 2000) g;
CREATE TABLE people (id int, team int, email text, shop int, claimed_at timestamptz, deleted_at timestamptz, note text)
    WITH (autovacuum_enabled = off);
INSERT INTO people SELECT g, 1 + g % 2000, 'P' || g || '@example.org', g % 40,
    CASE WHEN g % 500 = 1 THEN timestamptz '2026-01-01' + g * interval '1 min' END,
    CASE WHEN g % 50 = 0 THEN timestamptz '2026-01-01' + g * interval '1 min' END, repeat('x', 100)
    FROM generate_series(1, 60000) g;
ANALYZE teams; ANALYZE people";

fn advise(cluster: &Cluster, statement: &str, more: &[&str]) -> Value {
    advise_harness::advise(cluster, "postgres", statement, more)
}

#[tokio::test]
async fn rows_that_have_a_value_are_indexed_alone_where_hardly_any_has_one() {
    for version in present(&[18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", PEOPLE).await;
        for (statement, part) in [
            (
                "SELECT id FROM people WHERE deleted_at IS NOT NULL ORDER BY deleted_at LIMIT 10",
                "(deleted_at) WHERE deleted_at IS NOT NULL",
            ),
            (
                "SELECT * FROM people WHERE claimed_at IS NOT NULL AND shop = 5",
                "(shop) WHERE claimed_at IS NOT NULL",
            ),
        ] {
            // one on all rows is larger
            let answer = advise(&cluster, statement, &["--budget", "500kB"]);
            let definition = answer["indexes"][0]["definition"].as_str().unwrap_or_default();
            assert!(definition.ends_with(part), "on {version}: {answer}");
        }
        // nearly all rows have one
        let answer = advise(
            &cluster,
            "SELECT * FROM people WHERE email IS NOT NULL AND team = 5",
            &[],
        );
        assert!(!answer["indexes"].to_string().contains("IS NOT NULL"), "{answer}");
    }
}

#[tokio::test]
async fn the_second_table_of_a_join_gets_its_expression_and_its_part() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", PEOPLE).await;
        for (condition, part, level) in [
            // of an expression there are no statistics before
            ("lower(p.email) = $1", "lower(email)", "estimated"),
            (
                "p.claimed_at IS NOT NULL",
                "WHERE claimed_at IS NOT NULL",
                "verified",
            ),
        ] {
            let statement = format!(
                "SELECT t.name, p.note FROM teams t JOIN people p ON p.team = t.id WHERE {condition}"
            );
            let answer = advise(&cluster, &statement, &[]);
            assert_eq!(
                answer["statements"][0]["status"], "improved",
                "on {version}: {answer}"
            );
            let index = &answer["indexes"][0];
            let definition = index["definition"].as_str().unwrap();
            assert!(definition.contains(part), "on {version}: {answer}");
            let confidence = &index["confidence"];
            assert_eq!(confidence["level"], level, "on {version}: {answer}");
            let reason = confidence["reason"].as_str().unwrap();
            assert!(
                reason.contains("with its table in front"),
                "on {version}: {answer}"
            );
        }
    }
}

/// Ten orders of each customer, of which about one in a hundred is pending; one customer in twenty lives in NO.
const ORDERS: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE customer (id int PRIMARY KEY, email text, country text) WITH (autovacuum_enabled = off);
INSERT INTO customer SELECT g, 'C' || g || '@example.org', CASE g % 20 WHEN 0 THEN 'NO' ELSE 'X' || g % 20 END
    FROM generate_series(1, 10000) g;
CREATE TABLE orders (id int, customer_id int, status text, placed timestamptz, note text) WITH (autovacuum_enabled = off);
INSERT INTO orders SELECT g, 1 + g * 7919 % 10000, CASE WHEN g % 97 = 0 THEN 'pending' ELSE 'done' END,
    timestamptz '2026-01-01' + (g * 7919 % 100000) * interval '1 min', repeat('x', 200)
    FROM generate_series(1, 100000) g;
ANALYZE customer; ANALYZE orders";

#[tokio::test]
async fn the_order_of_the_tables_says_nothing_of_their_indexes() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", ORDERS).await;
        for (what, condition, parts) in [
            (
                "o.id",
                "lower(c.email) = $1",
                &["lower(email)", "(customer_id"][..],
            ),
            // a constant picks a part of one table
            (
                "o.id, c.email",
                "o.status = 'pending' AND c.email = 'C77@example.org'",
                &["(email)", "(customer_id) WHERE status = 'pending'"][..],
            ),
            // and of both
            (
                "o.id, c.email",
                "o.status = 'pending' AND c.country = 'NO' ORDER BY o.placed LIMIT 10",
                &["(country)"][..],
            ),
        ] {
            let [one, other] = ["orders o JOIN customer c", "customer c JOIN orders o"].map(|from| {
                let statement =
                    format!("SELECT {what} FROM {from} ON c.id = o.customer_id WHERE {condition}");
                advise(&cluster, &statement, &[])
            });
            let sorted = |answer| {
                let mut sorted = definitions(answer);
                sorted.sort_unstable();
                sorted
            };
            assert_eq!(
                sorted(&one),
                sorted(&other),
                "{condition} on {version}: {one} {other}"
            );
            for part in parts {
                let is_there = sorted(&one).iter().any(|definition| definition.contains(part));
                assert!(is_there, "{part} on {version}: {one}");
            }
        }
    }
}

/// Below a view a table stays where it is: an index of a part of it may be better than what is advised.
#[tokio::test]
async fn what_cannot_be_moved_is_told_beside_what_is_advised() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", ORDERS).await;
        let view =
            "CREATE VIEW pending AS SELECT id, customer_id, placed FROM orders WHERE status = 'pending'";
        cluster.sql("postgres", view).await;
        let statement = "SELECT p.id, c.email FROM customer c JOIN pending p ON p.customer_id = c.id WHERE c.country = 'NO' \
                         ORDER BY p.placed LIMIT 10";
        let answer = advise(&cluster, statement, &[]);
        assert!(!definitions(&answer).is_empty(), "on {version}: {answer}");
        let reason = answer["statements"][0]["reason"].as_str().unwrap_or_default();
        let is_told = reason.contains("part of the rows of") && reason.contains("orders");
        assert!(is_told, "on {version}: {answer}");
    }
}

/// A view, and others over it: by another name, with a condition of their own, one that groups.
const ADDRESSES: &str = "
CREATE VIEW addresses AS SELECT id, team, lower(email) AS email, note FROM people;
CREATE VIEW renamed AS SELECT id, team, email AS address, note FROM addresses;
CREATE VIEW of_most_teams AS SELECT address AS mail, note FROM renamed WHERE team > 10;
CREATE VIEW counted AS SELECT mail, how_many FROM (SELECT address AS mail, count(*) AS how_many FROM renamed GROUP BY 1) a
    WHERE how_many > 0";

#[tokio::test]
async fn a_table_below_a_view_or_in_a_subquery_gets_its_expression() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", PEOPLE).await;
        cluster.sql("postgres", ADDRESSES).await;
        for statement in [
            "SELECT note FROM addresses WHERE email = $1",
            "SELECT note FROM addresses WHERE email = 'p77@example.org'",
            "SELECT note FROM renamed WHERE address = $1",
            "SELECT note FROM of_most_teams WHERE mail = $1",
            "SELECT s.note FROM (SELECT address, note FROM renamed WHERE id > 5) s WHERE s.address = $1",
            "SELECT note FROM (SELECT mail AS m, note FROM of_most_teams) s WHERE m = 'p77@example.org'",
            "SELECT mail, how_many FROM counted WHERE mail = $1",
            "SELECT name FROM teams t WHERE EXISTS (SELECT FROM people p WHERE p.team = t.id AND lower(p.email) = $1)",
        ] {
            let answer = advise(&cluster, statement, &[]);
            let definition = answer["indexes"][0]["definition"].as_str().unwrap_or_default();
            assert!(definition.contains("lower(email)"), "on {version}: {answer}");
            let confidence = &answer["indexes"][0]["confidence"];
            assert_eq!(confidence["level"], "estimated", "on {version}: {answer}");
            let reason = confidence["reason"].as_str().unwrap();
            assert!(
                reason.contains("the scan of its table alone"),
                "on {version}: {answer}"
            );
            assert_eq!(
                answer["statements"][0]["status"], "improved",
                "on {version}: {answer}"
            );
        }
        // what nothing is searched by gets none
        let all = advise(&cluster, "SELECT email, note FROM addresses", &[]);
        assert!(definitions(&all).is_empty(), "on {version}: {all}");
    }
}

#[tokio::test]
async fn where_hypopg_sees_nothing_nothing_is_told() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", PEOPLE).await;
        // only the join asks for it, and no scan
        let within =
            "SELECT name FROM teams t WHERE EXISTS (SELECT FROM people p WHERE lower(p.email) = t.name)";
        let answer = advise(&cluster, within, &[]);
        let reason = answer["statements"][0]["reason"].as_str().unwrap_or_default();
        assert!(
            reason.contains("people") && reason.contains("HypoPG sees"),
            "{answer}"
        );
        // on the first table it is seen
        let alone = advise(&cluster, "SELECT note FROM people WHERE lower(email) = $1", &[]);
        let confidence = &alone["indexes"][0]["confidence"];
        assert!(
            confidence["reason"]
                .as_str()
                .unwrap()
                .contains("statistics of its expression"),
            "{alone}"
        );
    }
}

/// Of each kind of condition hardly any row is picked, but of `half` every other one. Rows are stored in no order of what is
/// asked: an index on that alone would read as many blocks as it finds rows.
const BILLS: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE bills (id int, status text, kind text, half text, amount int, is_done boolean, made_at timestamptz, note text)
    WITH (autovacuum_enabled = off);
INSERT INTO bills SELECT g, CASE WHEN g % 100 = 0 THEN 'open' ELSE 'done' END,
    CASE WHEN g % 100 = 0 THEN 'c' WHEN g % 2 = 0 THEN 'a' ELSE 'b' END, CASE WHEN g % 2 = 0 THEN 'x' ELSE 'y' END,
    (g * 7919 % 60000) * CASE WHEN g % 100 = 0 THEN -1 ELSE 1 END, CASE WHEN g % 200 = 0 THEN NULL ELSE g % 100 <> 0 END,
    timestamptz '2026-01-01' + (g * 7919 % 60000) * interval '1 min', repeat('x', 100)
    FROM generate_series(1, 60000) g;
ANALYZE bills";

#[tokio::test]
async fn what_hardly_any_row_is_has_an_index_of_its_own() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", BILLS).await;
        for (condition, part) in [
            ("status <> 'done'", Some("(made_at) WHERE status <> 'done'")),
            (
                "status IS DISTINCT FROM 'done'",
                Some("(made_at) WHERE status IS DISTINCT FROM 'done'"),
            ),
            ("kind NOT IN ('a', 'b')", Some("(made_at) WHERE kind <> ALL")),
            ("is_done IS NOT TRUE", Some("(made_at) WHERE is_done IS NOT TRUE")),
            ("amount < 0", Some("(made_at) WHERE amount < 0")),
            // half of the rows, none that is known before the call, and a bound that is another one in the next
            ("half <> 'x'", None),
            ("status <> $1", None),
            ("amount > 59500", None),
        ] {
            let statement = format!("SELECT note FROM bills WHERE {condition} ORDER BY made_at LIMIT 50");
            let answer = advise(&cluster, &statement, &[]);
            let calls = answer["workload"]["what_if_calls"].as_u64().unwrap();
            assert!(calls <= 20, "on {version}: {answer}");
            let definitions = definitions(&answer);
            match part {
                Some(part) => {
                    let is_there = definitions.iter().any(|one| one.contains(part));
                    assert!(is_there, "on {version}: {condition}: {definitions:?}");
                    let level = &answer["indexes"][0]["confidence"]["level"];
                    assert_eq!(level, "verified", "on {version}: {answer}");
                }
                None => {
                    let is_there = definitions.iter().any(|one| one.contains(" WHERE "));
                    assert!(!is_there, "on {version}: {condition}: {definitions:?}");
                }
            }
        }
    }
}

/// 30 000 rows in each of two partitions.
const LOGS: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE logs (id int, customer int, note text) PARTITION BY RANGE (id);
CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (MINVALUE) TO (30000);
CREATE TABLE logs_2 PARTITION OF logs FOR VALUES FROM (30000) TO (MAXVALUE);
INSERT INTO logs SELECT g, g % 50, md5(g::text) || md5((g + 1)::text) || md5((g + 2)::text) FROM generate_series(1, 60000) g";

/// Who asks one partition by its name has no use for an index on the others; who asks the whole has.
#[tokio::test]
async fn a_partition_that_is_read_by_its_name_is_indexed_alone() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", LOGS).await;
        cluster.sql("postgres", "VACUUM ANALYZE logs").await;
        let by_name = "SELECT id FROM logs_2 WHERE note = $1";
        let whole = advise(
            &cluster,
            by_name,
            &["--statement", "SELECT id FROM logs WHERE note = $1"],
        );
        let recipe = whole["indexes"][0]["apply_sql"].to_string();
        assert!(recipe.contains("ON ONLY public.logs "), "on {version}: {whole}");
        assert!(
            !whole["notes"].to_string().contains("indexed alone"),
            "on {version}: {whole}"
        );
        let answer = advise(&cluster, by_name, &[]);
        let index = &answer["indexes"][0];
        assert_eq!(index["table"], "logs_2", "on {version}: {answer}");
        let recipe = index["apply_sql"].as_array().unwrap();
        assert_eq!(recipe.len(), 1, "on {version}: {answer}");
        let note = "public.logs_2 is indexed alone, for it is read by its own name: the other partitions of public.logs";
        assert!(
            answer["notes"].to_string().contains(note),
            "on {version}: {answer}"
        );
        cluster.sql("postgres", recipe[0].as_str().unwrap()).await;
        let real = "SELECT sum(pg_relation_size(indexrelid))::int8 FROM pg_stat_user_indexes WHERE relname = 'logs_2'";
        let ratio = index["size_bytes"].as_f64().unwrap() / cluster.number("postgres", real).await as f64;
        assert!(
            (0.7..1.5).contains(&ratio),
            "on {version}: {ratio} of what it takes"
        );
        cluster
            .sql("postgres", index["undo_sql"][0].as_str().unwrap())
            .await;
    }
}

/// One that is partitioned itself is indexed with its partitions, and nothing is above it.
#[tokio::test]
async fn a_partition_with_partitions_is_indexed_with_these() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        let deep = LOGS.replace(
            "FROM (30000) TO (MAXVALUE);",
            "FROM (30000) TO (MAXVALUE) PARTITION BY RANGE (id);
             CREATE TABLE logs_2_a PARTITION OF logs_2 FOR VALUES FROM (30000) TO (45000);
             CREATE TABLE logs_2_b PARTITION OF logs_2 FOR VALUES FROM (45000) TO (MAXVALUE);",
        );
        cluster.sql("postgres", &deep).await;
        cluster.sql("postgres", "VACUUM ANALYZE logs").await;
        let answer = advise(&cluster, "SELECT id FROM logs_2 WHERE note = $1", &[]);
        let index = &answer["indexes"][0];
        assert_eq!(index["table"], "logs_2", "on {version}: {answer}");
        let recipe = index["apply_sql"].as_array().unwrap();
        for sql in recipe {
            cluster.sql("postgres", sql.as_str().unwrap()).await;
        }
        let all = index["apply_sql"].to_string();
        for part in [
            "ON ONLY public.logs_2 ",
            "ON public.logs_2_a ",
            "ON public.logs_2_b ",
            "ATTACH PARTITION",
        ] {
            assert!(all.contains(part), "on {version}: {answer}");
        }
        let made = "SELECT count(*) FROM pg_index WHERE indisvalid AND indrelid IN ('logs_2'::regclass, 'logs_2_a'::regclass, 'logs_2_b'::regclass)";
        assert_eq!(
            cluster.number("postgres", made).await,
            3,
            "on {version}: {answer}"
        );
        let others = "SELECT count(*) FROM pg_index WHERE indrelid IN ('logs'::regclass, 'logs_1'::regclass)";
        assert_eq!(
            cluster.number("postgres", others).await,
            0,
            "on {version}: {answer}"
        );
        for sql in index["undo_sql"].as_array().unwrap() {
            cluster.sql("postgres", sql.as_str().unwrap()).await;
        }
        assert_eq!(
            cluster.number("postgres", made).await,
            0,
            "on {version}: {answer}"
        );
    }
}

/// Makes an index on `logs`, which must take about as many bytes as was told.
async fn takes_what_is_told(cluster: &Cluster, version: u32, index: &serde_json::Value) {
    for sql in index["apply_sql"].as_array().unwrap() {
        cluster.sql("postgres", sql.as_str().unwrap()).await;
    }
    let real = "SELECT sum(pg_relation_size(indexrelid))::int8 FROM pg_stat_user_indexes WHERE relname LIKE 'logs_%'";
    let ratio = index["size_bytes"].as_f64().unwrap() / cluster.number("postgres", real).await as f64;
    assert!(
        (0.7..1.5).contains(&ratio),
        "on {version}: {ratio} of what it takes"
    );
}

/// HypoPG does not find how wide the columns of a partitioned table are.
#[tokio::test]
async fn an_index_on_a_partitioned_table_takes_what_is_told() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", LOGS).await;
        cluster.sql("postgres", "VACUUM ANALYZE logs").await;
        let statement = "SELECT id FROM logs WHERE note = $1";
        let answer = advise(&cluster, statement, &[]);
        let index = &answer["indexes"][0];
        assert_eq!(index["columns"][0], "note", "on {version}: {answer}");
        takes_what_is_told(&cluster, version, index).await;
        for sql in index["undo_sql"].as_array().unwrap() {
            cluster.sql("postgres", sql.as_str().unwrap()).await;
        }
        // which a budget counts, too
        let within = advise(&cluster, statement, &["--budget", "3MB"]);
        assert_eq!(within["indexes"], serde_json::json!([]), "on {version}");
    }
}

/// Autovacuum analyzes partitions alone: what they tell stands for the whole.
#[tokio::test]
async fn partitions_that_were_analyzed_tell_of_a_table_that_was_not() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", LOGS).await;
        let statement = "SELECT id FROM logs WHERE note = $1";
        // the second of them, while the first may still be unknown
        cluster.sql("postgres", "VACUUM ANALYZE logs_2").await;
        let half = advise(&cluster, statement, &[]);
        assert!(
            !half.to_string().contains("never analyzed"),
            "on {version}: {half}"
        );
        cluster.sql("postgres", "VACUUM ANALYZE logs_1").await;
        let whole = "SELECT count(*) FROM pg_stats WHERE tablename = 'logs'";
        assert_eq!(cluster.number("postgres", whole).await, 0, "on {version}");
        let answer = advise(&cluster, statement, &[]);
        let index = &answer["indexes"][0];
        assert_eq!(index["columns"][0], "note", "on {version}: {answer}");
        takes_what_is_told(&cluster, version, index).await;
    }
}
