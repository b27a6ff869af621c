//! What plans ask of tables, where that does not stand there plainly: queues whose locks the login may not take, extremes within
//! expressions, arrays that are joined, ranges of a unique key, functions that compare.

use crate::advise_harness::{advise, definitions};
use crate::harness::{Cluster, pgadvisor, present};

/// What is done stands in front of what is ready, as in every queue.
const JOBS: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE jobs (id int PRIMARY KEY, state text, run_at timestamptz, payload text);
INSERT INTO jobs SELECT g, CASE WHEN g > 48000 THEN 'ready' ELSE 'done' END, now() - (70000 - g) * interval '1 min',
    repeat('x', 100) FROM generate_series(1, 60000) g;
ANALYZE jobs";

const NEXT: &str = "SELECT id FROM jobs WHERE state = 'ready' AND run_at <= now() ORDER BY run_at LIMIT 10 FOR UPDATE SKIP LOCKED";

#[tokio::test]
async fn a_queue_is_one_for_a_login_that_may_not_lock_its_rows() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", JOBS).await;
        let setup = String::from_utf8(pgadvisor().arg("setup").output().unwrap().stdout).unwrap();
        cluster.sql("postgres", &setup).await;
        let may_lock = "SELECT count(*) FROM pg_class
            WHERE relname = 'jobs' AND has_table_privilege('pgadvisor_planner', oid, 'UPDATE')";
        assert_eq!(cluster.number("postgres", may_lock).await, 0);
        let update = format!("UPDATE jobs SET state = 'running' WHERE id IN ({NEXT})");
        for statement in [NEXT, &update] {
            for login in ["pgadvisor_planner", "postgres"] {
                for more in [&[][..], &["--no-partial"]] {
                    let answer = advise(&cluster, login, statement, more);
                    let told = format!("{statement} as {login} on {version}: {answer}");
                    assert_eq!(answer["statements"][0]["status"], "improved", "{told}");
                    for definition in definitions(&answer) {
                        let is_led = definition.contains("(state, run_at");
                        assert!(is_led || definition.contains("WHERE state = 'ready'"), "{told}");
                    }
                }
            }
        }
    }
}

/// Entries are stored in no order of theirs.
const ENTRIES: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE entries (id int PRIMARY KEY, tenant int, seq int, at timestamptz, total int, title text, note text);
INSERT INTO entries SELECT g, g % 300, g / 300, timestamptz '2026-01-01' + g * interval '1 min', g % 1000, md5(g::text),
    repeat('x', 100) FROM generate_series(1, 60000) g ORDER BY md5(g::text);
CREATE TABLE posts (id int PRIMARY KEY, tags text[]);
INSERT INTO posts SELECT g, ARRAY['t' || g, 't' || g + 1] FROM generate_series(1, 4000) g;
CREATE TABLE tagged (id int, tag text, note text);
INSERT INTO tagged SELECT g, 't' || g % 5000, repeat('x', 100) FROM generate_series(1, 60000) g";

#[tokio::test]
async fn what_is_asked_is_seen_where_it_does_not_stand_plainly() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", ENTRIES).await;
        for table in ["entries", "posts", "tagged"] {
            cluster.sql("postgres", &format!("VACUUM ANALYZE {table}")).await;
        }
        for (statement, parts) in [
            (
                "SELECT coalesce(max(seq), 0) + 1 FROM entries WHERE tenant = $1",
                &["entries USING btree (tenant, seq"][..],
            ),
            (
                "SELECT max(at) + interval '1 day' FROM entries",
                &["entries USING btree (at"],
            ),
            (
                "SELECT t.note FROM posts p JOIN tagged t ON t.tag = ANY (p.tags) WHERE p.id = $1",
                &["tagged USING btree (tag"],
            ),
            (
                "SELECT sum(total) FROM entries WHERE id BETWEEN $1 AND $2",
                &["btree (id, total)", "btree (id) INCLUDE (total)"],
            ),
            (
                "SELECT id FROM entries WHERE starts_with(title, 'abcd')",
                &["entries USING btree (title"],
            ),
        ] {
            let answer = advise(&cluster, "postgres", statement, &[]);
            let told = format!("{statement} on {version}: {answer}");
            assert_eq!(answer["statements"][0]["status"], "improved", "{told}");
            let definitions = definitions(&answer);
            let is_there = |part: &&str| definitions.iter().any(|one| one.contains(part));
            assert!(parts.iter().any(is_there), "{told}");
        }
        // the next call asks for something else
        let first = "SELECT id FROM entries WHERE starts_with(title, 'abc') ORDER BY id LIMIT 5";
        let answer = advise(&cluster, "postgres", first, &[]);
        for definition in definitions(&answer) {
            assert!(!definition.contains("starts_with"), "on {version}: {answer}");
        }
        // one row is found by its key, and read at once
        let one = advise(
            &cluster,
            "postgres",
            "SELECT total FROM entries WHERE id = $1",
            &[],
        );
        let reason = one["statements"][0]["reason"].as_str().unwrap_or_default();
        assert!(
            reason.contains("entries_pkey answers it already"),
            "on {version}: {one}"
        );
    }
}

/// Rows lie in the order in which they were made, of two states that are common and one that is rare.
const VISITS: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE rooms (id int PRIMARY KEY, name text) WITH (autovacuum_enabled = off);
INSERT INTO rooms SELECT g, 'room ' || g FROM generate_series(1, 200) g;
CREATE TABLE visits (id int PRIMARY KEY, room_id int, state text, made_at timestamptz, gone_at timestamptz, note text)
    WITH (autovacuum_enabled = off);
INSERT INTO visits SELECT g, g % 200, CASE WHEN g % 3000 = 0 THEN 'asked' WHEN g % 3 = 0 THEN 'off' ELSE 'done' END,
    timestamptz '2026-01-01' + g * interval '1 min', CASE WHEN g % 33 = 0 THEN now() END, repeat('x', 80)
    FROM generate_series(1, 90000) g;
ANALYZE rooms; ANALYZE visits";

#[tokio::test]
async fn what_would_be_found_early_by_luck_gets_the_index_that_finds_it_surely() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", VISITS).await;
        for (rest, keys) in [
            (
                "visits v WHERE v.state = $1 ORDER BY v.made_at DESC LIMIT 20",
                "(state, made_at",
            ),
            (
                "visits v WHERE v.state = $1 AND v.gone_at IS NULL ORDER BY v.made_at LIMIT 20",
                "(state, made_at",
            ),
            (
                "visits v WHERE v.made_at > $1 AND v.state = $2 ORDER BY v.made_at LIMIT 50",
                "(state, made_at",
            ),
            (
                "visits v JOIN rooms r ON r.id = v.room_id WHERE v.room_id = $1 ORDER BY v.made_at DESC LIMIT 10",
                "(room_id, made_at",
            ),
            (
                "visits v LEFT JOIN rooms r ON r.id = v.room_id WHERE v.state = $1 ORDER BY v.made_at DESC LIMIT 10",
                "(state, made_at",
            ),
            (
                "visits v WHERE v.made_at > $1 ORDER BY v.made_at LIMIT 10",
                "(made_at",
            ),
        ] {
            let statement = format!("SELECT v.* FROM {rest}");
            let answer = advise(&cluster, "postgres", &statement, &[]);
            let told = format!("{statement} on {version}: {answer}");
            let definitions = definitions(&answer);
            assert!(definitions.iter().any(|one| one.contains(keys)), "{told}");
            assert!(
                !definitions
                    .iter()
                    .any(|one| one.contains("(made_at") && keys != "(made_at"),
                "{told}"
            );
            let calls = answer["workload"]["what_if_calls"].as_u64().unwrap();
            assert!(calls <= 20, "{told}");
        }
        // nothing tells how many rows an expression picks
        let named = "SELECT * FROM visits WHERE lower(note) = lower($1) ORDER BY made_at LIMIT 20";
        let answer = advise(&cluster, "postgres", named, &["--no-expression"]);
        assert!(definitions(&answer).is_empty(), "on {version}: {answer}");
    }
}
