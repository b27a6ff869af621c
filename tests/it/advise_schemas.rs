//! What is named without its schema, since the search_path of the statement finds it and that of a session of ours does not: types and
//! functions of users. And columns of domains, which EXPLAIN writes as casts.

use crate::advise_harness::{advise, definitions};
use crate::harness::{Cluster, present};

/// One in two hundred is at customs.
const FREIGHT: &str = r"
CREATE EXTENSION hypopg; CREATE EXTENSION pg_trgm; CREATE SCHEMA freight; ALTER DATABASE postgres SET search_path = freight, public;
SET search_path = freight, public;
CREATE TYPE cstate AS ENUM ('booked', 'customs', 'released');
CREATE DOMAIN handle_t AS text CHECK (length(value) < 60);
CREATE FUNCTION slug(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN lower($1); END';
CREATE TABLE consignments (id int, state cstate, handle handle_t, email text, made_at timestamptz, note text)
    WITH (autovacuum_enabled = off);
INSERT INTO consignments SELECT g, CASE WHEN g % 200 = 0 THEN 'customs' ELSE 'released' END::cstate, 'Player_' || md5(g::text),
    'user_' || g, timestamptz '2026-01-01' + g * interval '1 min', repeat('x', 100) FROM generate_series(1, 40000) g;
ANALYZE consignments";

#[tokio::test]
async fn types_and_functions_of_other_schemas_and_domains_are_understood() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", FREIGHT).await;
        for (statement, budget, parts) in [
            (
                "SELECT note FROM consignments WHERE state = 'customs' ORDER BY made_at DESC LIMIT 10",
                // one on all rows is larger
                "200kB",
                &["(made_at", "WHERE state = 'customs'::freight.cstate"][..],
            ),
            (
                "SELECT note FROM consignments WHERE slug(email) = $1",
                "1GB",
                &["consignments_slug", "freight.slug(email)"],
            ),
            (
                r"SELECT note FROM consignments WHERE handle LIKE 'Player\_c4ca%'",
                "1GB",
                &["(handle text_pattern_ops"],
            ),
            (
                "SELECT note FROM consignments WHERE handle ~ '^Player_c4ca'",
                "1GB",
                &["(handle text_pattern_ops"],
            ),
            (
                "SELECT note FROM consignments WHERE handle ILIKE '%c4ca42%'",
                "1GB",
                &["USING gin (handle public.gin_trgm_ops)"],
            ),
            (
                r"SELECT note FROM consignments WHERE email LIKE 'user\_77\_%'",
                "1GB",
                &["(email text_pattern_ops"],
            ),
        ] {
            let answer = advise(&cluster, "postgres", statement, &["--budget", budget]);
            let all = definitions(&answer);
            let is_it = |one: &&str| parts.iter().all(|part| one.contains(part));
            assert!(all.iter().any(is_it), "{statement} on {version}: {answer}");
        }
    }
}
