-- What tells whether relations, or their partitions and children, have changed: counters, files, definitions.
-- privilege: none · cost: a few lookups for each of them · since: 14
WITH RECURSIVE members (root, oid) AS (
    SELECT u.oid, u.oid FROM pg_catalog.unnest($1) AS u (oid)
    UNION
    SELECT m.root, i.inhrelid FROM members AS m JOIN pg_catalog.pg_inherits AS i ON i.inhparent = m.oid
)
SELECT /* pgadvisor */
    m.root, c.oid, c.relkind::text AS kind, n.nspname::text AS schema, c.relname::text AS name,
    -- policies of rows read what they like, and of other kinds of relations nothing is counted
    c.relkind IN ('r', 'p', 'm') AND NOT c.relrowsecurity AS is_counted,
    c.xmin::text AS version, c.relfilenode AS filenode,
    -- a refresh always moves the version of a materialized view, and its counters only later
    CASE WHEN c.relkind <> 'm' THEN
        coalesce(pg_catalog.pg_stat_get_tuples_inserted(c.oid) + pg_catalog.pg_stat_get_tuples_updated(c.oid)
            + pg_catalog.pg_stat_get_tuples_deleted(c.oid), 0) END AS written
FROM members AS m
JOIN pg_catalog.pg_class AS c ON c.oid = m.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
