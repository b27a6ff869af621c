//! Statements of every kind that PostgreSQL knows, advised together on real servers: what each of them takes of the set.

use serde_json::Value;

use crate::command_line::conforms;
use crate::harness::{Cluster, pgadvisor, present};

pub const SHOP: &str = r#"
CREATE EXTENSION hypopg; CREATE EXTENSION pg_trgm; CREATE SCHEMA "Größe";
CREATE TABLE customers (id bigint PRIMARY KEY, email text NOT NULL, name varchar(40), country char(2), tags text[], info jsonb, boss_id bigint);
INSERT INTO customers SELECT g, 'user' || g || '@example.org', md5(g::text), (ARRAY['SE', 'DE', 'FR'])[1 + g % 3], ARRAY['t' || g % 500, 'u' || g % 700],
    jsonb_build_object('plan', g % 700, 'ref', md5(g::text)), g / 10 FROM generate_series(1, 30000) g;
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL, status text, total numeric, made_at timestamptz NOT NULL, sent_at timestamptz, code varchar(20));
INSERT INTO orders SELECT g, 1 + g * 7919::bigint % 30000, CASE WHEN g % 50 = 0 THEN 'open' ELSE 'done' END, g % 1000,
    timestamptz '2026-01-01' + g * interval '1 min', CASE WHEN g % 3 > 0 THEN timestamptz '2026-01-02' + g * interval '1 min' END, 'C' || g
    FROM generate_series(1, 60000) g;
CREATE TABLE items (id bigint PRIMARY KEY, order_id bigint NOT NULL, product_id int NOT NULL, price numeric);
INSERT INTO items SELECT g, 1 + g % 60000, 1 + g % 3000, g % 100 FROM generate_series(1, 90000) g;
CREATE TABLE events (id bigint, kind text, at timestamptz NOT NULL, customer_id bigint) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-03-01');
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-03-01') TO ('2027-01-01');
INSERT INTO events SELECT g, 'k' || g % 9, timestamptz '2026-01-01' + g * interval '2 min', 1 + g % 30000 FROM generate_series(1, 60000) g;
CREATE TABLE products (id int PRIMARY KEY, title text, words tsvector, during tstzrange, place point, address inet);
INSERT INTO products SELECT g, md5(g::text), to_tsvector('simple', md5(g::text)), tstzrange(now() - g * interval '1 h', now() - (g - 2) * interval '1 h'),
    point(g % 100, g / 100), ('10.0.' || g % 200 || '.' || g % 250)::inet FROM generate_series(1, 30000) g;
CREATE TABLE stock (product_id int, warehouse int, amount int);
INSERT INTO stock SELECT 1 + g % 10000, g / 10000, g % 100 FROM generate_series(0, 39999) g;
CREATE TABLE "Größe"."Bestell Nr" ("Nummer" int, "Käufer" text, "select" int, "quo""te" text);
INSERT INTO "Größe"."Bestell Nr" SELECT g, 'K' || g, g % 3000, 'q' || g FROM generate_series(1, 30000) g;
CREATE VIEW large AS SELECT o.*, c.email FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.total > 900;
CREATE VIEW large_and_open AS SELECT * FROM large WHERE status = 'open';
CREATE MATERIALIZED VIEW per_customer AS SELECT customer_id, count(*) AS orders, sum(total) AS total FROM orders GROUP BY customer_id;
ANALYZE"#;

/// Each statement, and what one of the indexes that it takes must contain.
const STATEMENTS: [(&str, &str); 54] = [
    ("SELECT c.name, i.price FROM customers c JOIN orders o ON o.customer_id = c.id JOIN items i ON i.order_id = o.id WHERE c.email = $1", "items USING btree (order_id"),
    ("SELECT o.id FROM orders o LEFT JOIN items i ON i.order_id = o.id WHERE i.id IS NULL AND o.customer_id = $1", "(customer_id"),
    ("SELECT c.id FROM orders o RIGHT JOIN customers c ON o.customer_id = c.id WHERE c.email = $1", "(email"),
    ("SELECT * FROM (SELECT * FROM orders WHERE customer_id = $1) o FULL JOIN (SELECT * FROM items WHERE order_id = $2) i ON i.order_id = o.id", "(order_id"),
    ("SELECT b.name FROM customers c JOIN customers b ON b.id = c.boss_id WHERE c.email = $1", "(email"),
    ("SELECT c.id, l.id FROM customers c CROSS JOIN LATERAL (SELECT o.id FROM orders o WHERE o.customer_id = c.id ORDER BY o.made_at DESC LIMIT 3) l WHERE c.country = 'SE' LIMIT 100", "(customer_id"),
    ("SELECT id FROM customers c WHERE c.email = $1 AND EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id AND o.total > 990)", "(customer_id"),
    ("SELECT id FROM customers c WHERE c.email = $1 AND NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id AND o.made_at > $2)", "(customer_id"),
    ("SELECT c.id, (SELECT max(o.made_at) FROM orders o WHERE o.customer_id = c.id) FROM customers c WHERE c.email = $1", "(customer_id"),
    ("SELECT * FROM items WHERE order_id IN (SELECT id FROM orders WHERE customer_id = $1)", "(order_id"),
    ("WITH recent AS (SELECT * FROM orders WHERE made_at > now() - interval '1 day') SELECT customer_id, sum(total) FROM recent GROUP BY 1", "(made_at"),
    ("WITH one AS MATERIALIZED (SELECT * FROM orders WHERE code = $1) SELECT * FROM one WHERE total > 5", "(code"),
    ("WITH RECURSIVE t AS (SELECT id FROM customers WHERE id = $1 UNION ALL SELECT c.id FROM customers c JOIN t ON c.boss_id = t.id) SELECT count(*) FROM t", "(boss_id"),
    ("SELECT * FROM large WHERE email = $1", "(email"),
    ("SELECT * FROM large_and_open WHERE customer_id = $1", "(customer_id"),
    ("SELECT * FROM per_customer WHERE customer_id = $1", "per_customer USING btree (customer_id"),
    ("SELECT * FROM events WHERE customer_id = $1 AND at >= '2026-02-01' AND at < '2026-02-10'", "events USING btree (customer_id"),
    ("SELECT * FROM events WHERE customer_id = $1 ORDER BY at DESC LIMIT 10", "events USING btree (customer_id"),
    ("SELECT id FROM orders WHERE code = $1 UNION SELECT order_id FROM items WHERE product_id = $2", "(product_id"),
    ("SELECT customer_id FROM orders WHERE code = $1 INTERSECT SELECT id FROM customers WHERE email = $2", "(email"),
    ("SELECT id FROM orders WHERE code = $1 EXCEPT SELECT order_id FROM items WHERE product_id = 3", "(code"),
    ("SELECT id, row_number() OVER (PARTITION BY customer_id ORDER BY made_at) FROM orders WHERE customer_id = $1", "(customer_id"),
    ("SELECT DISTINCT ON (customer_id) customer_id, made_at FROM orders WHERE customer_id < 100 ORDER BY customer_id, made_at DESC", "(customer_id"),
    ("SELECT * FROM orders ORDER BY sent_at DESC NULLS LAST LIMIT 10", "(sent_at DESC NULLS LAST)"),
    ("SELECT * FROM orders WHERE (made_at, id) < ($1, $2) ORDER BY made_at DESC, id DESC LIMIT 20", "(made_at"),
    ("UPDATE orders SET status = 'done' WHERE code = $1", "(code"),
    ("UPDATE orders o SET total = 1 FROM customers c WHERE c.id = o.customer_id AND c.email = $1", "(email"),
    ("DELETE FROM items WHERE order_id = $1", "(order_id"),
    ("DELETE FROM items i USING orders o WHERE o.id = i.order_id AND o.code = $1", "(order_id"),
    ("MERGE INTO stock s USING (SELECT $1::int AS product_id, $2::int AS warehouse) n ON s.product_id = n.product_id AND s.warehouse = n.warehouse
      WHEN MATCHED THEN UPDATE SET amount = s.amount + 1 WHEN NOT MATCHED THEN INSERT VALUES (n.product_id, n.warehouse, 1)", "stock USING btree (product_id"),
    ("INSERT INTO items (id, order_id, product_id) SELECT 100000 + id, id, 1 FROM orders WHERE code = $1", "(code"),
    ("SELECT * FROM orders WHERE customer_id IN ($1, $2, $3)", "(customer_id"),
    ("SELECT * FROM orders WHERE customer_id IN ($1 /*, ... */)", "(customer_id"),
    ("SELECT * FROM orders WHERE customer_id = ANY ($1)", "(customer_id"),
    ("SELECT * FROM orders WHERE customer_id = ANY (ARRAY[$1, $2])", "(customer_id"),
    ("SELECT count(*) FROM orders WHERE made_at BETWEEN $1 AND $2", "(made_at"),
    ("SELECT * FROM orders WHERE code = $1 OR customer_id = $2", "(code"),
    ("SELECT id FROM customers WHERE lower(email) = $1", "((lower(email)))"),
    ("SELECT id FROM customers WHERE id::text = $1", "((id::text))"),
    ("SELECT id FROM customers WHERE info ->> 'ref' = $1", "info ->> 'ref'"),
    ("SELECT id FROM customers WHERE name LIKE 'abcd%'", "text_pattern_ops"),
    ("SELECT id FROM customers WHERE name ~ '^abcd'", "text_pattern_ops"),
    ("SELECT id FROM customers WHERE tags @> ARRAY['t3']", "gin (tags)"),
    ("SELECT id FROM customers WHERE info @> $1", "gin (info jsonb_path_ops)"),
    ("SELECT id FROM products WHERE words @@ plainto_tsquery('simple', $1)", "gin (words)"),
    ("SELECT id FROM products WHERE during && tstzrange(now(), now() + interval '1 h')", "gist (during)"),
    ("SELECT id FROM products ORDER BY place <-> point(1, 2) LIMIT 5", "gist (place)"),
    ("SELECT id FROM products WHERE address <<= inet '10.0.7.0/24'", "gist (address inet_ops)"),
    (r#"SELECT * FROM "Größe"."Bestell Nr" WHERE "Käufer" = $1"#, r#""Bestell Nr" USING btree ("Käufer""#),
    (r#"SELECT "Nummer" FROM "Größe"."Bestell Nr" WHERE "select" = $1 AND "quo""te" > 'a'"#, r#"("select""#),
    ("SELECT * FROM orders WHERE made_at >= date $1 AND made_at < timestamp with time zone $2", "(made_at"),
    ("SELECT extract($1 FROM made_at), count(*) FROM orders WHERE code = $2 GROUP BY extract($3 FROM made_at)", "(code"),
    ("DECLARE c CURSOR FOR SELECT * FROM orders WHERE code = $1", "(code"),
    ("COPY (SELECT * FROM orders WHERE code = 'C7') TO STDOUT", "(code"),
];

/// Sensors, what they measured in two partitions, and visits of which each has many.
const READINGS: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE sensors (id int PRIMARY KEY, code text NOT NULL, place text NOT NULL);
INSERT INTO sensors SELECT g, 's' || g, 'p' || g FROM generate_series(1, 20000) g;
CREATE TABLE broken (sensor_id int);
INSERT INTO broken SELECT g FROM generate_series(1, 10) g;
CREATE TABLE readings (id bigint NOT NULL, sensor_id int NOT NULL, batch int, at timestamptz NOT NULL, value numeric, note text)
    PARTITION BY RANGE (at);
CREATE TABLE readings_1 PARTITION OF readings FOR VALUES FROM ('2026-01-01') TO ('2026-03-01');
CREATE TABLE readings_2 PARTITION OF readings FOR VALUES FROM ('2026-03-01') TO ('2027-01-01');
INSERT INTO readings SELECT g, 1 + g * 7919::bigint % 20000, g % 5000, timestamptz '2026-01-01' + g * interval '2 min', g % 1000,
    md5(g::text) FROM generate_series(1, 80000) g;
CREATE TABLE visits (id bigint, sensor_id int NOT NULL, day date NOT NULL, note text);
INSERT INTO visits SELECT g, 1 + g % 100, date '2026-01-01' + g / 20000, md5(g::text) FROM generate_series(1, 80000) g;
ANALYZE";

/// No other of these asks for the same index.
const OF_READINGS: [(&str, &str); 6] = [
    ("SELECT s.id, r.value FROM sensors s JOIN readings r ON r.sensor_id = s.id WHERE s.code = $1", "readings USING btree (sensor_id"),
    ("SELECT id, at, note FROM readings ORDER BY at DESC LIMIT 10", "readings USING btree (at"),
    ("SELECT id, note FROM readings ORDER BY value DESC, id DESC LIMIT 10", "readings USING btree (value"),
    ("SELECT batch, count(*) FROM readings GROUP BY batch LIMIT 5", "readings USING btree (batch"),
    ("SELECT id FROM sensors WHERE place = $1 AND id NOT IN (SELECT sensor_id FROM broken)", "sensors USING btree (place"),
    ("SELECT s.id, l.note FROM sensors s CROSS JOIN LATERAL
      (SELECT v.note FROM visits v WHERE v.sensor_id = s.id ORDER BY v.day DESC, v.id DESC LIMIT 3) l WHERE s.id < 50",
     "visits USING btree (sensor_id, day DESC, id DESC"),
];

/// What is advised, after each of these statements was found to take an index that contains what stands behind it.
pub fn understood(cluster: &Cluster, version: u32, statements: &[(&str, &str)]) -> Value {
    let mut command = pgadvisor();
    command.args(["advise", &cluster.dsn("postgres", "postgres"), "--format", "json"]);
    for (statement, _) in statements {
        command.args(["--statement", *statement]);
    }
    let output = command.output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    conforms("advise.schema.json", &answer);
    let told = answer["statements"].as_array().unwrap();
    assert_eq!(told.len(), statements.len());
    for ((statement, part), told) in statements.iter().zip(told) {
        assert_eq!(told["status"], "improved", "on {version}: {statement}: {told}");
        let uses = told["uses"].as_array().unwrap();
        assert!(
            uses.iter().any(|index| index.as_str().unwrap().contains(part)),
            "on {version}: {statement}: {uses:?}"
        );
    }
    answer
}

#[tokio::test]
async fn a_partitioned_table_is_understood_above_its_partitions() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", READINGS).await;
        let answer = understood(&cluster, version, &OF_READINGS);
        for index in answer["indexes"].as_array().unwrap() {
            let definition = index["definition"].as_str().unwrap();
            assert!(
                !definition.contains("public.readings_"),
                "it is on the whole: {definition}"
            );
        }
    }
}

#[tokio::test]
async fn statements_of_every_kind_are_understood() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", SHOP).await;
        let answer = understood(&cluster, version, &STATEMENTS);
        let indexes = answer["indexes"].as_array().unwrap();
        for index in indexes {
            let carried = index["include"].as_array().unwrap().len();
            assert!(carried <= 2, "next to nothing is saved by so many: {index}");
            // PostgreSQL takes each of them, and takes it back
            for sql in index["apply_sql"].as_array().unwrap() {
                cluster.sql("postgres", sql.as_str().unwrap()).await;
            }
        }
        for index in indexes {
            for sql in index["undo_sql"].as_array().unwrap() {
                cluster.sql("postgres", sql.as_str().unwrap()).await;
            }
        }
    }
}
