//! What advice costs the server in questions, and what writes pay for indexes, be they statements of the workload or not.

use pgadvisor::index_advisor::advice::{Wanted, advise};
use pgadvisor::index_advisor::gate::Gate;
use pgadvisor::index_advisor::pace::Pace;
use pgadvisor::index_advisor::search_path::SearchPath;
use pgadvisor::index_advisor::workload::{SearchPaths, WorkloadStatement};
use pgadvisor::postgres::Server;
use pgadvisor::postgres::conninfo::{ConnInfo, Environment};

use crate::advise_harness::{advised, definitions};
use crate::harness::{Cluster, eventually, present};

#[tokio::test]
async fn trying_values_costs_no_more_questions_than_are_left() {
    for version in present(&[18]) {
        let cluster = Cluster::start(version).await;
        let wide = "CREATE EXTENSION hypopg; CREATE TABLE wide AS SELECT g AS a, g * 3 % 60000 AS b, g * 7 % 60000 AS c, g * 11 % 60000 AS d,
            repeat('x', 60) AS note FROM generate_series(1, 60000) g; ANALYZE wide";
        cluster.sql("postgres", wide).await;
        let dsn = cluster.dsn("postgres", "postgres");
        let conninfo = ConnInfo::parse(&dsn, &Environment::default()).unwrap();
        let plan = Server::new(conninfo).unwrap().plan("postgres").await.unwrap();
        let advised = async |calls_per_statement: usize| {
            let mut gate = Gate::open(&plan, &[]).await.unwrap();
            let mut paths = SearchPaths::new(SearchPath::parse("public", None).unwrap());
            let columns = ["a", "b", "c", "d"].into_iter();
            let of_column = |column: &str| WorkloadStatement {
                weight: 1.0,
                text: format!("SELECT note FROM wide WHERE {column} = $1"),
                ..WorkloadStatement::default()
            };
            let workload = columns.map(of_column).collect();
            let wanted = Wanted {
                calls_per_statement,
                ..Wanted::default()
            };
            advise(
                &plan,
                &mut gate,
                &mut paths,
                workload,
                wanted,
                &Pace::free(),
                &|_| {},
            )
            .await
            .unwrap()
        };
        let of = async |calls_per_statement: usize| {
            let advice = advised(calls_per_statement).await;
            let tried: usize = advice.statements.iter().map(|one| one.values.len()).sum();
            (advice.what_if_calls, tried, advice.indexes.len())
        };
        let (_, all_tried, indexes) = of(19).await;
        assert_eq!(indexes, 4, "on {version}");
        // as many as the search left, and one more for each statement
        let (few_calls, few_tried, _) = of(2).await;
        assert!(few_calls <= 3 * 4, "on {version}: {few_calls}");
        assert!(few_tried < all_tried, "on {version}: {few_tried} of {all_tried}");
    }
}

/// Both counters tell that they began two days ago, which no test can wait for.
const SINCE: &str = "
SET allow_system_table_mods = on;
DO $$ BEGIN EXECUTE 'CREATE OR REPLACE VIEW pg_catalog.pg_stat_database AS ' || regexp_replace(
    pg_get_viewdef('pg_catalog.pg_stat_database'::regclass), 'pg_stat_get_db_stat_reset_time[(][^)]*[)]', '(now() - interval ''2 days'')'); END $$;
CREATE OR REPLACE VIEW pg_stat_statements_info AS SELECT 0::bigint AS dealloc, now() - interval '2 days' AS stats_reset";

/// Two tables that look alike: into the one rows keep coming, and the old ones go; the other was loaded once.
const LOADED: &str = "CREATE EXTENSION hypopg;
CREATE TABLE arrivals (id int, sensor int, note text) WITH (autovacuum_enabled = off);
CREATE TABLE loaded (id int, sensor int, note text) WITH (autovacuum_enabled = off);
INSERT INTO arrivals SELECT g, g % 4000, repeat('x', 60) FROM generate_series(1, 40000) g;
INSERT INTO loaded SELECT * FROM arrivals; ANALYZE arrivals, loaded";

#[tokio::test]
async fn what_is_written_all_the_time_pays_for_an_index_and_a_load_does_not() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", LOADED).await;
        cluster
            .sql("postgres", "COPY arrivals (id) FROM PROGRAM 'seq 40001 80000'")
            .await;
        cluster
            .sql("postgres", "DELETE FROM arrivals WHERE id > 40000")
            .await;
        eventually("what was written is counted", || async {
            let count = "SELECT sum(n_tup_ins + n_tup_del)::bigint FROM pg_stat_user_tables WHERE relname IN ('arrivals', 'loaded')";
            cluster.number("postgres", count).await == 160_000
        })
        .await;
        cluster.sql("postgres", "SELECT pg_stat_statements_reset()").await;
        for table in ["arrivals", "loaded"] {
            let asked = format!("SELECT note FROM {table} WHERE sensor = 7");
            cluster.sql("postgres", &asked).await;
        }
        let indexed = || {
            let answer = advised(&cluster, "postgres", &[]);
            let indexes = answer["indexes"].as_array().unwrap().iter();
            let mut tables: Vec<String> = indexes
                .map(|index| index["table"].as_str().unwrap().to_owned())
                .collect();
            tables.sort();
            tables
        };
        // of counters that nobody knows the beginning of nothing can be told
        assert_eq!(indexed(), ["arrivals", "loaded"], "on {version}");
        cluster.sql("postgres", SINCE).await;
        assert_eq!(indexed(), ["loaded"], "on {version}");
    }
}

/// Of sixty thousand orders 120 are open.
const ORDERS: &str = "CREATE EXTENSION hypopg;
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, status text, amount int, made_at timestamptz, note text);
INSERT INTO orders SELECT g, g % 5000, CASE WHEN g % 500 = 0 THEN 'open' ELSE 'done' END, g % 900, now() - g * interval '1 min',
    repeat('x', 60) FROM generate_series(1, 60000) g;
CREATE INDEX orders_note ON orders (note); ANALYZE orders";

#[tokio::test]
async fn an_index_on_a_part_of_the_rows_pays_for_what_is_written_to_it() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", ORDERS).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("workload.sql");
        let beside = |write: &str| {
            let asked = "SELECT id FROM orders WHERE status = 'open' ORDER BY made_at LIMIT 20";
            let workload = format!("-- name: q\n{asked};\n-- name: w weight: 40000\n{write};\n");
            std::fs::write(&file, workload).unwrap();
            advised(&cluster, "postgres", &["--workload", file.to_str().unwrap()])
        };
        let insert = |status: &str| {
            format!(
                "INSERT INTO orders (id, customer_id, status, amount, made_at) VALUES ($1, $2, '{status}', $3, now())"
            )
        };
        let update = "UPDATE orders SET note = 'x' WHERE id = $1".to_owned();
        for write in [insert("done"), update] {
            let answer = beside(&write);
            let all = definitions(&answer);
            assert_eq!(all.len(), 1, "on {version}: {answer}");
            let is_part = all[0].contains("made_at") && all[0].contains("WHERE");
            assert!(is_part, "on {version}: {all:?}");
        }
        // what comes in open is written to it
        let answer = beside(&insert("open"));
        assert!(definitions(&answer).is_empty(), "on {version}: {answer}");
        let statements = answer["statements"].as_array().unwrap();
        let asking = statements.iter().find(|one| one["name"] == "q").unwrap();
        let why = asking["reason"].as_str().unwrap();
        assert!(
            why.contains("what is written to the table would pay more for it"),
            "on {version}: {why}"
        );
    }
}
