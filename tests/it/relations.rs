//! The pages of tables and indexes, and the API of the same, of a daemon that watches a real server.

use crate::daemon::Daemon;
use crate::dashboard::{get, links};
use crate::harness::{Cluster, eventually};

const NAME: &str = "a/b \"<script>alert(1)</script>";
const LIST: &str = "/servers/main/postgres/tables";

/// Any name as one part of an address.
fn part(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn tables_and_indexes_have_pages_that_say_what_the_api_says() {
    let cluster = Cluster::start(15).await;
    let table = format!("\"{}\"", NAME.replace('"', "\"\""));
    cluster
        .sql(
            "postgres",
            &format!(
                "CREATE TABLE {table} (a int PRIMARY KEY, b int); INSERT INTO {table} SELECT n, n FROM generate_series(1, 999) n;
                 CREATE INDEX i1 ON {table} (b); CREATE INDEX i2 ON {table} (b)"
            ),
        )
        .await;
    let daemon = Daemon::start(&cluster.dsn("postgres", "postgres"), "");
    let address = daemon.address.clone();
    eventually("the table is known with a finding", || async {
        let known = get(&address, &format!("/api/v1{LIST}"));
        known.status == 200 && known.json()["tables"][0]["findings"][0]["rule"] == "index.duplicate"
    })
    .await;
    let known = get(&address, &format!("/api/v1{LIST}?order=growth&range=90d")).json();
    assert_eq!(known["tables"][0]["name"], NAME);
    let one = format!("{LIST}/public/{}", part(NAME));
    let told = get(&address, &format!("/api/v1{one}")).json();
    assert_eq!(told["table"]["name"], NAME);
    assert_eq!(told["indexes"].as_array().unwrap().len(), 3);
    let index = get(&address, "/api/v1/servers/main/postgres/indexes/public/i1").json();
    assert_eq!(index["index"]["table"], NAME);
    for (path, words) in [
        ("/tables", "a/b &#34;&#60;script&#62;"),
        (LIST, "1 finding</a>"),
        (one.as_str(), ">duplicate</a>"),
        ("/indexes", ">duplicate</a>"),
        (
            "/servers/main/postgres/indexes?order=idle&range=1h",
            "primary key",
        ),
        ("/servers/main/postgres/indexes/public/i1", "CREATE"),
    ] {
        let page = get(&address, path);
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        assert!(page.body.contains(words), "{path}: {}", page.body);
        assert!(
            !page.body.contains("<script>alert") && !page.body.contains(" style="),
            "{path}"
        );
        for link in links(&page.body, path.split('?').next().unwrap()) {
            let status = get(&address, &link).status;
            assert!(status == 200 || status == 405, "{link} on {path}: {status}");
        }
    }
    what_is_not_there_is_told(&address);
}

fn what_is_not_there_is_told(address: &str) {
    for (path, status, words) in [
        (format!("{LIST}?order=idle"), 400, "unknown order"),
        (format!("{LIST}?range=2h"), 400, "unknown range"),
        (
            "/servers/main/nowhere/tables".to_owned(),
            404,
            "There is no watched database",
        ),
        (format!("{LIST}/public/nothing"), 404, "This table is not known."),
        (
            "/servers/main/postgres/indexes/public/nothing".to_owned(),
            404,
            "This index is not known.",
        ),
        (
            "/servers/main/postgres/statements/0123456789abcdef".to_owned(),
            404,
            "This statement is not known yet.",
        ),
    ] {
        let page = get(address, &path);
        assert!(
            page.status == status && page.body.contains(words),
            "{path}: {}",
            page.body
        );
        let answer = get(address, &format!("/api/v1{path}"));
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.head.contains("application/problem+json"), "{path}");
        let lists = page.body.contains(">Statements</a> <a class=\"button\"");
        assert_eq!(lists, path.contains("/statements/"), "{path}: a way to the list");
    }
}

/// A table of three partitions at two levels, the largest of them at the lower one, beside a table of its own.
const PARTITIONED: &str = "
    CREATE TABLE events (day int PRIMARY KEY, note text) PARTITION BY RANGE (day);
    CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (0) TO (1000) PARTITION BY RANGE (day);
    CREATE TABLE events_old_1 PARTITION OF events_old FOR VALUES FROM (0) TO (900);
    CREATE TABLE events_old_2 PARTITION OF events_old FOR VALUES FROM (900) TO (1000);
    CREATE TABLE events_new PARTITION OF events FOR VALUES FROM (1000) TO (2000);
    CREATE INDEX events_note ON events (note);
    INSERT INTO events SELECT n, repeat('x', 100) || n FROM generate_series(0, 1099) n;
    CREATE TABLE alone (a int PRIMARY KEY);
    INSERT INTO alone VALUES (1);
    ANALYZE";

#[tokio::test]
async fn a_partitioned_table_is_told_as_a_whole_and_its_partitions_on_its_page() {
    let cluster = Cluster::start_with(15, 5432, &["autovacuum=off"]).await;
    cluster.sql("postgres", PARTITIONED).await;
    let bytes = cluster
        .number(
            "postgres",
            "SELECT sum(pg_relation_size(relid))::int8 FROM pg_partition_tree('events') WHERE isleaf",
        )
        .await;
    let index_bytes = cluster
        .number(
            "postgres",
            "SELECT sum(pg_relation_size(i.indexrelid))::int8 FROM pg_partition_tree('events') AS p
             JOIN pg_index AS i ON i.indrelid = p.relid WHERE p.isleaf",
        )
        .await;
    let daemon = Daemon::start(&cluster.dsn("postgres", "postgres"), "");
    let address = daemon.address.clone();
    eventually("the whole is known", || async {
        let known = get(&address, &format!("/api/v1{LIST}"));
        known.status == 200
            && known.json()["tables"][0]["bytes"] == bytes
            && known.json()["tables"][0]["index_bytes"] == index_bytes
    })
    .await;
    for order in ["size", "growth", "dead_rows", "writes", "scans"] {
        let list = get(&address, &format!("/api/v1{LIST}?order={order}")).json();
        let names: Vec<&str> = list["tables"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|table| table["name"].as_str())
            .collect();
        assert_eq!(names.len(), 2, "{order}: {names:?}");
        assert!(names.contains(&"events") && names.contains(&"alone"), "{order}");
        assert_eq!(list["total"], 2, "{order}");
    }
    the_whole_and_its_partitions(&address);
    for (path, words) in [
        (LIST.to_owned(), "partitioned, 3 partitions"),
        (format!("{LIST}/public/events"), "events_old_1"),
        (format!("{LIST}/public/events_old_1"), "a partition of"),
        ("/servers/main/postgres/indexes".to_owned(), ">partitioned<"),
        (
            "/servers/main/postgres/indexes/public/events_pkey".to_owned(),
            "added up",
        ),
        (
            "/servers/main/postgres/indexes/public/events_new_pkey".to_owned(),
            "Partition of",
        ),
    ] {
        let page = get(&address, &path);
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        assert!(page.body.contains(words), "{path}: {}", page.body);
        for link in links(&page.body, &path) {
            let status = get(&address, &link).status;
            assert!(status == 200 || status == 405, "{link} on {path}: {status}");
        }
    }
}

fn the_whole_and_its_partitions(address: &str) {
    let told = get(address, &format!("/api/v1{LIST}/public/events")).json();
    assert_eq!(told["table"]["kind"], "p");
    assert_eq!(told["table"]["partitions"], 3);
    assert_eq!(told["partitions"][0]["name"], "events_old_1");
    assert_eq!(told["partitions"].as_array().unwrap().len(), 3);
    let mut indexes: Vec<&str> = Vec::new();
    for index in told["indexes"].as_array().unwrap() {
        assert_eq!(index["partitions"], 3, "{index}");
        indexes.extend(index["name"].as_str());
    }
    indexes.sort_unstable();
    assert_eq!(indexes, ["events_note", "events_pkey"]);
    let path = format!("/api/v1{LIST}/public/events/partitions");
    let list = get(address, &format!("{path}?order=scans&limit=2")).json();
    assert_eq!(list["total"], 3);
    assert_eq!(list["tables"].as_array().unwrap().len(), 2);
    assert_eq!(list["tables"][0]["partition_of"]["name"], "events");
    let indexes = get(address, "/api/v1/servers/main/postgres/indexes").json();
    assert_eq!(indexes["total"], 3, "two of the whole, one of the other");
    for (path, status) in [
        (format!("/api/v1{LIST}/public/alone/partitions"), 404),
        (format!("/api/v1{LIST}/public/events_old"), 404),
        (format!("{path}?order=idle"), 400),
    ] {
        assert_eq!(get(address, &path).status, status, "{path}");
    }
}

#[tokio::test]
async fn a_size_is_that_of_now_even_if_nobody_vacuums() {
    let cluster = Cluster::start_with(15, 5432, &["autovacuum=off"]).await;
    let grows = "CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t SELECT n, 'x' FROM generate_series(1, 1000) n; \
                 VACUUM ANALYZE t; INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1001, 60000) n";
    let session = cluster.connect("postgres").await;
    for statement in grows.split(';') {
        session.batch_execute(statement).await.unwrap();
    }
    cluster.end(session).await;
    let bytes = cluster.number("postgres", "SELECT pg_relation_size('t')").await;
    let index_bytes = cluster
        .number("postgres", "SELECT pg_relation_size('t_pkey')")
        .await;
    let daemon = Daemon::start(&cluster.dsn("postgres", "postgres"), "");
    let address = daemon.address.clone();
    eventually("the sizes of now", || async {
        let known = get(&address, &format!("/api/v1{LIST}"));
        known.status == 200
            && known.json()["tables"][0]["bytes"] == bytes
            && known.json()["tables"][0]["index_bytes"] == index_bytes
    })
    .await;
}
