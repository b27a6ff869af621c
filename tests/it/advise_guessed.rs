//! Advice where there is no HypoPG: unproven, but such that PostgreSQL takes it, in the order of what is at stake, within a budget.

use serde_json::Value;

use crate::advise_harness::{advised, definitions};
use crate::harness::{Cluster, present};

const VISITS: &str = "
CREATE TABLE visits (id int, customer int, made_at timestamptz, local_at timestamp, mail varchar(60), body text);
INSERT INTO visits SELECT g, g % 5000, now() - g * interval '1 min', now() - g * interval '1 min', 'user' || g || '@example.org',
    repeat(md5(g::text) || ' ', 6) FROM generate_series(1, 50000) g;
ANALYZE visits";

/// What is advised for statements, each with its name and weight.
fn advise(cluster: &Cluster, statements: &[(&str, u32, &str)], more: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("workload.sql");
    let lines = statements.iter().map(|(name, weight, condition)| {
        format!("-- name: {name} weight: {weight}\nSELECT body FROM visits WHERE {condition};\n")
    });
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    let asked = [&["--workload", file.to_str().unwrap()], more].concat();
    advised(cluster, "postgres", &asked)
}

/// Why a statement got none.
fn reason<'a>(answer: &'a Value, name: &str) -> &'a str {
    let statements = answer["statements"].as_array().unwrap();
    let found = statements.iter().find(|one| one["name"] == name).unwrap();
    found["reason"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn what_is_guessed_is_what_postgresql_takes_the_most_valuable_first() {
    for version in present(&[14, 16]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", VISITS).await;
        let statements = [
            ("day", 1, "date_trunc('day', made_at) = $1"),
            ("words", 1, "to_tsvector(body) @@ to_tsquery('simple', 'abc')"),
            ("text_of_time", 1, "made_at::text = $1"),
            ("local_day", 1, "date_trunc('day', local_at) = $1"),
            (
                "english",
                1,
                "to_tsvector('english', body) @@ to_tsquery('english', 'abc')",
            ),
            ("mail", 1, "lower(mail) = $1"),
            ("moment", 100, "made_at = $1"),
        ];
        let answer = advise(&cluster, &statements, &[]);
        for name in ["day", "words", "text_of_time"] {
            let told = reason(&answer, name);
            assert!(told.contains("is not immutable"), "{name} on {version}: {told}");
        }
        let all = definitions(&answer);
        assert!(all[0].contains("(made_at)"), "on {version}: {all:?}");
        for part in ["local_at)", "to_tsvector('english'", "lower("] {
            assert!(
                all.iter().any(|one| one.contains(part)),
                "{part} on {version}: {all:?}"
            );
        }
        assert_eq!(all.len(), 4, "on {version}: {all:?}");
        for definition in &all {
            cluster
                .sql("postgres", &definition.replace("CONCURRENTLY ", ""))
                .await;
        }
    }
}

#[tokio::test]
async fn an_index_that_is_read_as_a_whole_is_no_answer() {
    for version in present(&[14, 18]) {
        let cluster = Cluster::start(version).await;
        let pairs =
            "CREATE TABLE pairs AS SELECT i x, i % 1000 y, md5(i::text) t FROM generate_series(1, 100000) i;
            CREATE INDEX pairs_x_y ON pairs (x, y); ANALYZE pairs";
        cluster.sql("postgres", pairs).await;
        let of = |condition: &str| {
            let statement = format!("SELECT t FROM pairs WHERE {condition}");
            advised(&cluster, "postgres", &["--statement", &statement])
        };
        let answer = of("y = $1");
        let all = definitions(&answer);
        assert_eq!(all.len(), 1, "on {version}: {answer}");
        assert!(all[0].contains("(y)"), "on {version}: {all:?}");
        let searched = of("x = $1 AND y = $2");
        assert!(definitions(&searched).is_empty(), "on {version}: {searched}");
    }
}

#[tokio::test]
async fn a_budget_is_kept_by_sizes_that_are_estimated_and_said_to_be() {
    for version in present(&[14, 16]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", VISITS).await;
        let statements = [
            ("mail", 1, "lower(mail) = $1"),
            ("customer", 10, "customer = $1"),
            ("moment", 100, "made_at = $1"),
        ];
        let whole = advise(&cluster, &statements, &[]);
        assert_eq!(definitions(&whole).len(), 3, "on {version}: {whole}");
        let told = |answer: &Value| answer["notes"].to_string().contains("sizes are estimated");
        assert!(!told(&whole), "on {version}: {}", whole["notes"]);
        let answer = advise(&cluster, &statements, &["--budget", "1900kB"]);
        assert!(told(&answer), "on {version}: {}", answer["notes"]);
        let again = advise(&cluster, &statements, &["--budget", "1900kB"]);
        assert_eq!(answer["indexes"], again["indexes"], "on {version}");
        let all = definitions(&answer);
        assert!(all[0].contains("(made_at)"), "on {version}: {all:?}");
        assert!(
            reason(&answer, "mail").contains("fits"),
            "on {version}: {}",
            answer["statements"]
        );
        let budget = answer["workload"]["budget_bytes"].as_f64().unwrap();
        let size = answer["workload"]["size_bytes"].as_f64().unwrap();
        assert!((1e6..=budget).contains(&size), "on {version}: {size}");
        for definition in &all {
            cluster
                .sql("postgres", &definition.replace("CONCURRENTLY ", ""))
                .await;
        }
        let built = cluster
            .number("postgres", "SELECT pg_indexes_size('visits')")
            .await;
        assert!((built as f64) <= budget, "on {version}: {built} bytes");
    }
}
