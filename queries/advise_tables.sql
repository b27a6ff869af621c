-- What is known of tables by their schemas ($1) and names ($2): a partition counts for the table that it belongs to. Autovacuum
-- analyzes partitions, never what they belong to.
-- privilege: none · cost: a few rows a table · since: 14
WITH /* pgadvisor */ named AS (
    SELECT a.schema, a.name, coalesce(pg_catalog.pg_partition_root(c.oid), c.oid) AS root_oid
    FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS a (schema, name)
    JOIN pg_catalog.pg_namespace AS an ON an.nspname = a.schema
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = an.oid AND c.relname = a.name
),
roots AS MATERIALIZED (
    SELECT r.oid, n.nspname, r.relname, r.relkind, r.relpersistence, s.pages, s.rows, s.was_counted, s.is_toasted,
        -- without SELECT pg_stats shows nothing, whatever there is
        NOT pg_catalog.has_table_privilege(r.oid, 'SELECT') OR s.was_analyzed OR EXISTS (
            SELECT FROM pg_catalog.pg_stats AS t WHERE t.schemaname = n.nspname AND t.tablename = r.relname) AS was_analyzed
    FROM (SELECT DISTINCT w.root_oid FROM named AS w) AS w
    JOIN pg_catalog.pg_class AS r ON r.oid = w.root_oid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
    CROSS JOIN LATERAL (
        SELECT pg_catalog.sum(l.relpages)::float8 AS pages, pg_catalog.sum(greatest(l.reltuples, 0))::float8 AS rows,
            pg_catalog.bool_or(l.reltuples >= 0) AS was_counted,
            -- pages are counted by VACUUM alone, and rows since the last reset
            pg_catalog.bool_or(x.relpages > 0 OR pg_catalog.pg_stat_get_tuples_inserted(x.oid) > 0) AS is_toasted,
            pg_catalog.bool_or(l.reltuples > 0 AND (NOT pg_catalog.has_table_privilege(l.oid, 'SELECT') OR EXISTS (
                SELECT FROM pg_catalog.pg_stats AS t WHERE t.schemaname = ln.nspname AND t.tablename = l.relname))) AS was_analyzed
        FROM (
            -- pg_partition_tree would lock all of them, and wait for whoever holds one exclusively
            WITH RECURSIVE parts (oid) AS (
                SELECT r.oid
                UNION ALL
                SELECT h.inhrelid
                FROM parts AS u
                JOIN pg_catalog.pg_inherits AS h ON h.inhparent = u.oid AND NOT h.inhdetachpending
                JOIN pg_catalog.pg_class AS k ON k.oid = h.inhrelid AND k.relispartition
            )
            SELECT u.oid FROM parts AS u) AS t
        JOIN pg_catalog.pg_class AS l ON l.oid = t.oid
        JOIN pg_catalog.pg_namespace AS ln ON ln.oid = l.relnamespace
        LEFT JOIN pg_catalog.pg_class AS x ON x.oid = l.reltoastrelid
        WHERE l.relkind IN ('r', 'm', 'f')
    ) AS s
)
SELECT
    w.schema, w.name, r.oid, r.nspname::text AS root_schema, r.relname::text AS root_name, r.relkind = 'p' AS is_partitioned,
    r.relkind IN ('r', 'p', 'm') AND r.relpersistence <> 't' AND r.oid >= 16384
        AND r.nspname NOT IN ('pg_catalog', 'information_schema') AS may_be_indexed,
    r.pages, r.rows, r.was_counted, r.was_analyzed, coalesce(r.is_toasted, false) AS is_toasted,
    pg_catalog.current_setting('server_version_num')::int4 >= 160000 AS brin_keeps_hot
FROM named AS w
JOIN roots AS r ON r.oid = w.root_oid
