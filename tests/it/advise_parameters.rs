//! Advice for statements with parameters, as pg_stat_statements captured them: whether it holds for long lists and later pages.

use serde_json::Value;

use crate::advise_harness;
use crate::command_line::conforms;
use crate::harness::{Cluster, pgadvisor, present};

/// What `pgadvisor advise` prints of all that was captured.
fn printed(cluster: &Cluster, format: &str) -> String {
    let output = pgadvisor()
        .args(["advise", &cluster.dsn("postgres", "postgres"), "--format", format])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn advise(cluster: &Cluster) -> Value {
    let answer: Value = serde_json::from_str(&printed(cluster, "json")).unwrap();
    conforms("advise.schema.json", &answer);
    answer
}

#[tokio::test]
async fn advice_for_short_lists_or_first_pages_alone_says_so() {
    for version in present(&[18]) {
        // so little is thought to be cached that a long way along an index is dear where rows are stored in another order
        let cluster = Cluster::start_with(version, 5432, &["effective_cache_size=1MB"]).await;
        let calls = "CREATE EXTENSION hypopg; CREATE TABLE calls AS
            SELECT g AS id, g % 120 AS caller, g * 7919 % 60000 AS place, repeat('x', 60) AS note FROM generate_series(1, 60000) g;
            ANALYZE calls; SELECT pg_stat_statements_reset()";
        cluster.sql("postgres", calls).await;
        for sql in [
            "SELECT note FROM calls WHERE caller IN (1, 2, 3)",
            "SELECT id, note FROM calls WHERE caller = ANY (ARRAY[4, 5])",
            "SELECT note FROM calls ORDER BY place DESC LIMIT 30 OFFSET 60",
            "SELECT note FROM calls ORDER BY id LIMIT 30 OFFSET 60",
        ] {
            cluster.sql("postgres", sql).await;
        }
        let answer = advise(&cluster);
        let told = answer["statements"].as_array().unwrap();
        let find = |part: &str| {
            let found = told
                .iter()
                .find(|one| one["text"].as_str().unwrap().contains(part));
            found.unwrap_or_else(|| panic!("on {version}: {part}: {answer}"))
        };
        let gains = |part: &str, kind: &str| {
            let one = find(part);
            assert_eq!(one["status"], "improved", "on {version}: {one}");
            let mut tried = one["values"].as_array().into_iter().flatten();
            let cost = |tried: &Value, name: &str| tried[name].as_f64().unwrap();
            tried
                .find(|tried| tried["kind"] == kind)
                .map(|tried| cost(tried, "cost_after") < 0.99 * cost(tried, "cost_before"))
        };
        for list in ["caller IN ($1 /*, ... */)", "ARRAY[$1 /*, ... */]"] {
            assert_eq!(gains(list, "list_of_ten"), Some(true), "on {version}: {answer}");
            assert_eq!(
                gains(list, "list_of_hundred"),
                Some(false),
                "on {version}: {answer}"
            );
            assert_eq!(gains(list, "later_page"), None);
        }
        for (order, gained) in [("ORDER BY place", false), ("ORDER BY id", true)] {
            assert_eq!(gains(order, "later_page"), Some(gained), "on {version}: {answer}");
            assert_eq!(gains(order, "list_of_ten"), None);
        }
        let asked = answer["workload"]["what_if_calls"].as_u64().unwrap();
        assert!(asked <= 20 * told.len() as u64, "{asked} for {}", told.len());
        let text = printed(&cluster, "text");
        for part in [
            "nothing for a list of 100 values",
            "nothing for a page far behind the first",
        ] {
            assert!(text.contains(part), "on {version}: {text}");
        }
        assert_eq!(advise(&cluster)["indexes"], answer["indexes"], "on {version}");
    }
}

/// EXPLAIN of a generic plan leaves out the partitions that no value asks for, and no value is known: what is compared with the
/// partition key must be advised all the same.
#[tokio::test]
async fn parameters_for_the_partition_key_leave_no_partition_out() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        let events = "CREATE EXTENSION hypopg; CREATE TABLE events (id int, kind int, at date) PARTITION BY RANGE (at);
            CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
            CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
            INSERT INTO events SELECT g, g % 3000, date '2026-01-01' + g % 59 FROM generate_series(1, 60000) g; ANALYZE events";
        cluster.sql("postgres", events).await;
        for condition in ["kind = $1 AND at = $2", "kind = $1 AND at BETWEEN $2 AND $3"] {
            let output = pgadvisor()
                .args(["advise", &cluster.dsn("postgres", "postgres"), "--format", "json"])
                .args(["--statement", &format!("SELECT id FROM events WHERE {condition}")])
                .output()
                .unwrap();
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(
                answer["statements"][0]["status"], "improved",
                "on {version}: {answer}"
            );
            assert_eq!(answer["indexes"][0]["table"], "events", "on {version}: {answer}");
            // both orders do, where both are searched for one value
            let columns = answer["indexes"][0]["columns"].as_array().unwrap();
            assert!(columns.contains(&Value::from("kind")), "on {version}: {answer}");
        }
    }
}

/// What pg_stat_statements shows says nothing of the types that constants had: what the server refuses so must be advised all the
/// same.
/// Of each hundred things one is of the same player; every other player, and every maker, has one.
const THINGS: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE things (id int, player int, maker int, item int, note text) WITH (autovacuum_enabled = off);
INSERT INTO things SELECT g, CASE WHEN g % 100 = 0 THEN -1 ELSE (g::bigint * 7919 % 120000)::int END,
    (g::bigint * 104729 % 120000)::int, g * 31 % 500, repeat('x', 60) FROM generate_series(1, 120000) g;
ANALYZE things";

#[tokio::test]
async fn the_commonest_values_have_the_further_key_that_others_need_not() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", THINGS).await;
        for (statement, keys) in [
            (
                "SELECT * FROM things WHERE player = $1 AND item = $2",
                "(player, item)",
            ),
            ("SELECT * FROM things WHERE maker = $1 AND item = $2", "(maker)"),
        ] {
            let answer = advise_harness::advise(&cluster, "postgres", statement, &[]);
            let told = format!("{statement} on {version}: {answer}");
            let [definition] = advise_harness::definitions(&answer)[..] else {
                panic!("{told}")
            };
            assert!(definition.contains(keys), "{told}");
            assert!(
                answer["workload"]["what_if_calls"].as_u64().unwrap() <= 20,
                "{told}"
            );
        }
    }
}

#[tokio::test]
async fn parameters_without_a_type_are_advised() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start_with(version, 5432, &["pg_stat_statements.track=all"]).await;
        let facts = "CREATE EXTENSION hypopg; CREATE TABLE facts AS
            SELECT g AS id, g % 3000 AS kind, date '2026-01-01' + g % 90 AS made, 'abc' AS note FROM generate_series(1, 60000) g;
            CREATE FUNCTION of_kind(wanted int) RETURNS bigint LANGUAGE plpgsql AS $$
            DECLARE known bigint; BEGIN SELECT count(*) INTO known FROM facts WHERE kind = wanted AND id > 3; RETURN known; END $$;
            ANALYZE facts; SELECT pg_stat_statements_reset()";
        cluster.sql("postgres", facts).await;
        let statements = [
            (
                "SELECT note FROM facts WHERE kind = 7 AND made >= date '2026-01-01' + 30",
                "made >= date $",
            ),
            (
                "SELECT note FROM facts WHERE kind = 7 AND made < date '2026-01-01' + interval '3 month'",
                "+ interval $",
            ),
            (
                "SELECT note FROM facts WHERE kind = 7 AND made >= current_date - 30",
                "current_date - $",
            ),
            ("SELECT note, 1 + 2 FROM facts WHERE kind = 7", "note, $1 + $2"),
            (
                "SELECT note FROM facts WHERE kind = 7 ORDER BY id LIMIT 20 OFFSET (2 - 1) * 20",
                "OFFSET ($",
            ),
            (
                "SELECT g, note FROM generate_series(1, 3) g, facts WHERE kind = 7",
                "generate_series($",
            ),
            (
                "MERGE INTO facts USING (SELECT 7 AS kind, 'x' AS note) s ON facts.kind = s.kind
                 WHEN MATCHED THEN UPDATE SET note = s.note",
                "MERGE INTO facts",
            ),
            (
                "UPDATE facts SET note = w.note FROM (VALUES (7, 'x'), (8, 'y')) AS w (kind, note) WHERE facts.kind = w.kind",
                "AS w (kind, note)",
            ),
            (
                "WITH p AS (SELECT 7 AS wanted) SELECT note FROM facts, p WHERE kind = p.wanted",
                "p.wanted",
            ),
            (
                "SELECT sum(CASE WHEN id > 3 THEN 1 ELSE 0 END) FROM facts WHERE kind = 7",
                "sum(CASE",
            ),
            (
                "SELECT note FROM facts WHERE kind = 7 AND (NULLIF('a', '') IS NULL OR 'b' IS NOT NULL)",
                "IS NOT NULL",
            ),
            ("SELECT of_kind(7)", "kind = wanted"),
        ];
        for (sql, _) in statements {
            cluster.sql("postgres", sql).await;
        }
        let answer = advise(&cluster);
        let told = answer["statements"].as_array().unwrap();
        for (_, part) in statements {
            let found = told
                .iter()
                .find(|one| one["text"].as_str().unwrap().contains(part));
            let one = found.unwrap_or_else(|| panic!("on {version}: {part}: {answer}"));
            assert_eq!(one["status"], "improved", "on {version}: {one}");
        }
    }
}
