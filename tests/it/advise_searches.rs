//! What is searched by operators that no b-tree knows, beside other conditions, on expressions and in joins: on real servers.

use crate::advise_harness::advise;
use crate::advise_sql::understood;
use crate::harness::{Cluster, present};

const NOTES: &str = r#"
CREATE EXTENSION hypopg; CREATE EXTENSION pg_trgm;
CREATE TABLE notes (id bigint PRIMARY KEY, tenant_id int NOT NULL, kind int, title text, body text, tags text[], info jsonb,
    words tsvector, starts_at timestamptz, ends_at timestamptz, during tstzrange, address inet);
INSERT INTO notes SELECT g, g % 20, g % 7, md5(g::text), md5((g + 1)::text) || md5((g + 2)::text), ARRAY['t' || g % 500, 'u' || g % 700],
    jsonb_build_object('ref', 'r' || g, 'labels', jsonb_build_array('l' || g % 900)), to_tsvector('simple', md5(g::text)),
    now() - g * interval '1 h', now() - (g - 2) * interval '1 h', tstzrange(now() - g * interval '1 h', now() - (g - 2) * interval '1 h'),
    ('10.0.' || g % 200 || '.' || g % 250)::inet FROM generate_series(1, 40000) g;
CREATE INDEX notes_tenant ON notes (tenant_id);
ANALYZE"#;

/// Each statement, and what one of the indexes that it takes must contain.
const STATEMENTS: [(&str, &str); 14] = [
    // what no index answers is checked on what it finds
    (
        "SELECT id FROM notes WHERE info @> $1 AND kind <> 3",
        "gin (info jsonb_path_ops)",
    ),
    (
        "SELECT id FROM notes WHERE title ILIKE '%abc1%' AND kind <> 3",
        "title public.gin_trgm_ops",
    ),
    (
        "SELECT id FROM notes WHERE title LIKE $1 || '%' AND kind <> $2",
        "notes USING btree (title",
    ),
    // the value first
    ("SELECT id FROM notes WHERE ARRAY['t3'] <@ tags", "gin (tags)"),
    (
        "SELECT id FROM notes WHERE to_tsquery('simple', $1) @@ words",
        "gin (words)",
    ),
    ("SELECT id FROM notes WHERE now() <@ during", "gist (during)"),
    (
        "SELECT id FROM notes WHERE inet '10.0.7.0/24' >>= address",
        "gist (address inet_ops)",
    ),
    // what another index leaves to check, and what is joined
    (
        r#"SELECT id FROM notes WHERE tenant_id = $1 AND info @> '{"ref": "r77"}'"#,
        "gin (info jsonb_path_ops)",
    ),
    (
        "SELECT id FROM notes WHERE body ILIKE '%abc77%' ORDER BY id DESC LIMIT 20",
        "body public.gin_trgm_ops",
    ),
    (
        "SELECT id FROM notes, plainto_tsquery('simple', $1) q WHERE q @@ words",
        "gin (words)",
    ),
    // expressions
    (
        r#"SELECT id FROM notes WHERE info -> 'labels' @> '["l7"]'"#,
        "info -> 'labels'",
    ),
    (
        "SELECT id FROM notes WHERE tstzrange(starts_at, ends_at) && tstzrange($1, $2)",
        "gist ((tstzrange(starts_at, ends_at)))",
    ),
    (
        "SELECT id FROM notes WHERE coalesce(title, '') ILIKE '%abc5%'",
        "COALESCE(title",
    ),
    // an arm of an OR that a primary key finds
    (
        "SELECT id FROM notes WHERE title ILIKE '%abc9%' OR body ILIKE '%abc9%' OR id = $1",
        "(body public.gin_trgm_ops, title public.gin_trgm_ops)",
    ),
];

#[tokio::test]
async fn searches_are_understood_beside_other_conditions() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", NOTES).await;
        let answer = understood(&cluster, version, &STATEMENTS);
        // PostgreSQL takes each of them
        for index in answer["indexes"].as_array().unwrap() {
            for sql in index["apply_sql"].as_array().unwrap() {
                cluster.sql("postgres", sql.as_str().unwrap()).await;
            }
        }
    }
}

#[tokio::test]
async fn a_pattern_that_comes_with_each_call_may_be_too_short() {
    for version in present(&[18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", NOTES).await;
        let reason = |statement: &str| {
            let answer = advise(&cluster, "postgres", statement, &[]);
            let index = &answer["indexes"][0];
            let definition = index["definition"].as_str().unwrap_or_default();
            assert!(definition.contains("body public.gin_trgm_ops"), "{answer}");
            index["confidence"]["reason"].as_str().unwrap().to_owned()
        };
        let told = reason("SELECT id FROM notes WHERE body ILIKE $1");
        assert!(told.contains("fewer than three letters"), "{told}");
        let known = reason("SELECT id FROM notes WHERE body ILIKE '%abc77%'");
        assert!(!known.contains("fewer than three letters"), "{known}");
    }
}
