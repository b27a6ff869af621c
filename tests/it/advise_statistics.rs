//! Expressions of which there are no statistics: what is told of an index on one, and what comes of it once they are there.

use serde_json::Value;

use crate::advise_harness::{self, definitions};
use crate::harness::{Cluster, present};

/// One letter of five hundred has a long subject, and one of two hundred is a trial.
const LETTERS: &str = "
CREATE EXTENSION hypopg; CREATE SCHEMA \"Post\";
CREATE TABLE \"Post\".letters (id int, box int, subject text, prefs jsonb, note text) WITH (autovacuum_enabled = off);
INSERT INTO \"Post\".letters SELECT g, g * 7919 % 20, repeat('x', CASE WHEN g % 500 = 0 THEN 70 ELSE 20 END),
    jsonb_build_object('trial', g % 200 = 0), repeat('x', 60) FROM generate_series(1, 60000) g;
ANALYZE \"Post\".letters";

fn advise(cluster: &Cluster, condition: &str) -> Value {
    let statement = format!("SELECT id FROM \"Post\".letters WHERE {condition}");
    advise_harness::advise(cluster, "postgres", &statement, &[])
}

fn reason(answer: &Value) -> &str {
    answer["statements"][0]["reason"].as_str().unwrap_or_default()
}

/// The SQL that a reason gives.
fn sql(reason: &str) -> &str {
    reason.split('`').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn statistics_of_an_expression_tell_whether_an_index_on_it_pays() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", LETTERS).await;
        for (condition, expected) in [
            (
                "length(subject) > 60",
                "CREATE STATISTICS \"Post\".letters_length_stat ON (length(subject)) FROM \"Post\".letters; \
                 ANALYZE \"Post\".letters;",
            ),
            (
                "(prefs->>'trial')::boolean",
                "CREATE STATISTICS \"Post\".letters_expr_stat ON ((prefs ->> 'trial'::text)::boolean) FROM \"Post\".letters; \
                 ANALYZE \"Post\".letters;",
            ),
        ] {
            let before = advise(&cluster, condition);
            assert!(definitions(&before).is_empty(), "on {version}: {before}");
            let why = reason(&before);
            assert!(
                why.contains("cannot be told") && !why.contains("not worth its price"),
                "on {version}: {before}"
            );
            assert_eq!(sql(why), expected, "on {version}");
            let (making, filling) = expected.split_once("; ").unwrap();
            cluster.sql("postgres", making).await;
            let unfilled = advise(&cluster, condition);
            assert_eq!(sql(reason(&unfilled)), filling, "on {version}: {unfilled}");
            cluster.sql("postgres", filling).await;
            let after = advise(&cluster, condition);
            let told = &after["statements"][0];
            assert_eq!(told["status"], "improved", "on {version}: {after}");
            assert_eq!(told["reason"], Value::Null, "on {version}: {after}");
            let (cost, before) = (
                told["cost_after"].as_f64().unwrap(),
                told["cost_before"].as_f64().unwrap(),
            );
            assert!(cost < 0.7 * before, "on {version}: {after}");
            let confidence = &after["indexes"][0]["confidence"];
            assert_eq!(confidence["level"], "verified", "on {version}: {after}");
        }
        // what leaves nearly all rows is known to be not worth an index now
        let most = advise(&cluster, "length(subject) > 10");
        assert!(definitions(&most).is_empty(), "on {version}: {most}");
        assert_eq!(
            reason(&most),
            "what an index would save it is not worth its price",
            "on {version}"
        );
    }
}

#[tokio::test]
async fn of_an_expression_that_is_compared_nobody_knows_how_many_rows_it_leaves() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", LETTERS).await;
        let making =
            "CREATE STATISTICS \"Post\".letters_length_stat ON (length(subject)) FROM \"Post\".letters;";
        let picked = "box = 7 AND length(subject) = 20";
        let before = advise(&cluster, picked);
        let confidence = &before["indexes"][0]["confidence"];
        assert_eq!(confidence["level"], "estimated", "on {version}: {before}");
        let why = confidence["reason"].as_str().unwrap();
        assert!(
            why.contains("nobody knows how many rows") && sql(why).starts_with(making),
            "on {version}: {before}"
        );
        // an order leaves all rows
        let sorted = advise(&cluster, "true ORDER BY length(subject) LIMIT 5");
        let confidence = &sorted["indexes"][0]["confidence"];
        let why = confidence["reason"].as_str().unwrap();
        assert!(
            why.contains("statistics of its expression") && !why.contains("CREATE STATISTICS"),
            "on {version}: {sorted}"
        );
        // the plan for all values takes a third of the rows whatever is known
        let open = advise(&cluster, "length(subject) > $1");
        let why = reason(&open);
        assert!(
            sql(why).starts_with(making) && why.contains("with a usual value in its place"),
            "on {version}: {open}"
        );
        cluster.sql("postgres", sql(why)).await;
        let after = advise(&cluster, picked);
        assert!(
            !after.to_string().contains("CREATE STATISTICS"),
            "on {version}: {after}"
        );
    }
}
