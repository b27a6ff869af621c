//! What a grouping statement becomes gives the same rows as before, on a real server, whatever the values.

use pgadvisor::sql::{KnownTable, grouped_view};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::harness::{Cluster, some_versions};

/// The rows of a query as text, in their order, or sorted.
async fn rows(client: &Client, sql: &str, is_ordered: bool) -> Vec<String> {
    let answer = client.simple_query(sql).await;
    let answer = answer.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            let values = (0..row.len()).map(|at| format!("{}={:?}", row.columns()[at].name(), row.get(at)));
            Some(values.collect::<Vec<_>>().join(" "))
        }
        _ => None,
    };
    let mut rows: Vec<String> = answer.iter().filter_map(row).collect();
    if !is_ordered {
        rows.sort();
    }
    rows
}

#[tokio::test]
async fn what_reads_the_view_gives_the_same_rows() {
    // each with values for its parameters
    let statements: [(&str, &[&[&str]]); 13] = [
        (
            "SELECT status, count(*), sum(amount) FROM orders GROUP BY status",
            &[&[]],
        ),
        (
            "SELECT status, count(*) FROM orders WHERE region = $1 GROUP BY status",
            &[&["0"], &["NULL"], &["4"], &["77"]],
        ),
        ("SELECT count(*), max(amount), min(status) FROM orders", &[&[]]),
        (
            "SELECT sum(amount) AS total, status AS kind FROM orders WHERE status IN ($1, $2) AND region = $3 GROUP BY status",
            &[
                &["'new'", "'New'", "1"],
                &["'old'", "NULL", "2"],
                &["'nobody'", "'x'", "1"],
            ],
        ),
        (
            "SELECT region, status, avg(amount) FROM orders WHERE region BETWEEN $1 AND $2 GROUP BY 1, 2",
            &[&["1", "3"], &["3", "1"], &["NULL", "2"]],
        ),
        (
            "SELECT status AS region, count(*) AS status FROM orders WHERE region = $1 GROUP BY status ORDER BY status DESC, 1 LIMIT $2",
            &[&["1", "2"], &["0", "1"], &["77", "2"]],
        ),
        (
            "SELECT lower(status) AS status, count(*) FROM orders GROUP BY status",
            &[&[]],
        ),
        (
            "SELECT c.name, count(o.id), count(*) FROM customers c LEFT JOIN orders o ON o.customer = c.id WHERE o.region = $1 GROUP BY c.name",
            &[&["0"], &["3"], &["NULL"]],
        ),
        (
            "SELECT c.name, o.status, count(DISTINCT o.amount) FILTER (WHERE o.region > o.customer) FROM orders o \
             JOIN customers c ON c.id = o.customer WHERE c.name <> $1 GROUP BY c.name, o.status HAVING count(*) > min(o.region)",
            &[&["'name 1'"], &["NULL"], &["''"]],
        ),
        (
            "SELECT name, name, count(*) FROM customers JOIN orders USING (id) GROUP BY name",
            &[&[]],
        ),
        (
            "SELECT region + customer, bool_or(amount > region) FROM orders WHERE region + customer >= $1 GROUP BY 1 ORDER BY region + customer",
            &[&["5"], &["NULL"], &["100"]],
        ),
        (
            "SELECT coalesce(status, name), count(*) FROM orders NATURAL JOIN customers WHERE customer = $1 GROUP BY 1 ORDER BY 2, 1 LIMIT $2 OFFSET $3",
            &[&["3", "5", "0"], &["4", "1", "1"]],
        ),
        (
            "SELECT status, CASE WHEN region > customer THEN region END, sum(amount::int8) FROM orders WHERE $1 = region GROUP BY 1, 2",
            &[&["4"], &["NULL"]],
        ),
    ];
    for version in some_versions() {
        let cluster = Cluster::start(version).await;
        let client = cluster.connect("postgres").await;
        client
            .batch_execute(
                "CREATE TABLE customers (id int PRIMARY KEY, name text);
                 INSERT INTO customers SELECT i, CASE WHEN i % 5 > 0 THEN 'name ' || i % 4 END FROM generate_series(1, 20) AS i;
                 CREATE TABLE orders (id int PRIMARY KEY, status text, region int, customer int, amount numeric);
                 INSERT INTO orders SELECT i, (ARRAY['new', 'New', NULL, 'old'])[1 + i % 4], nullif(i % 6, 5), 1 + i % 25, i % 7
                 FROM generate_series(1, 600) AS i",
            )
            .await
            .unwrap();
        let table = |_: &str, name: &str| {
            let columns: &[(&str, &str)] = match name {
                "customers" => &[("id", "int4"), ("name", "text")],
                _ => &[
                    ("id", "int4"),
                    ("status", "text"),
                    ("region", "int4"),
                    ("customer", "int4"),
                    ("amount", "numeric"),
                ],
            };
            Some(KnownTable {
                schema: "public".into(),
                columns: columns
                    .iter()
                    .map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned()))
                    .collect(),
            })
        };
        for (statement, all_values) in statements {
            let view = grouped_view(statement, &table).unwrap_or_else(|| panic!("{statement}"));
            let quoted: Vec<String> = view
                .unique_columns
                .iter()
                .map(|name| format!("\"{name}\""))
                .collect();
            let made = format!(
                "DROP MATERIALIZED VIEW IF EXISTS v; CREATE MATERIALIZED VIEW v AS {}; CREATE UNIQUE INDEX ON v ({});
                 REFRESH MATERIALIZED VIEW CONCURRENTLY v",
                view.definition,
                quoted.join(", ")
            );
            client
                .batch_execute(&made)
                .await
                .unwrap_or_else(|error| panic!("{made}: {error:?}"));
            let reading = view.reading("public.v");
            for values in all_values {
                let with_values = |text: &str| {
                    let numbered = (1..).zip(*values);
                    numbered.fold(text.to_owned(), |text, (number, value)| {
                        text.replace(&format!("${number}"), value)
                    })
                };
                let is_ordered = statement.contains("ORDER BY");
                let before = rows(&client, &with_values(statement), is_ordered).await;
                let after = rows(&client, &with_values(&reading), is_ordered).await;
                assert_eq!(before, after, "{version}: {statement}\n{reading}\n{values:?}");
            }
        }
    }
}
