-- What statistics say of the values of columns ($1 schemas, $2 tables, $3 columns): the commonest ones, and the bounds of equal parts
-- of the rest. Of a partitioned table that was never analyzed as a whole, which autovacuum does not do, those of the partition with
-- most rows.
-- privilege: SELECT on the columns · cost: a row a column · since: 14
WITH /* pgadvisor */ asked AS (
    SELECT a.schema, a.name, a.column_name
    FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[])) AS a (schema, name, column_name)
),
fullest AS MATERIALIZED (
    SELECT p.schema, p.name, f.nspname, f.relname
    FROM (SELECT DISTINCT a.schema, a.name FROM asked AS a) AS p
    JOIN pg_catalog.pg_namespace AS n ON n.nspname = p.schema
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = p.name AND c.relkind = 'p'
    CROSS JOIN LATERAL (
        -- pg_partition_tree would lock all of them, and wait for whoever holds one exclusively
        WITH RECURSIVE parts (oid) AS (
            SELECT h.inhrelid FROM pg_catalog.pg_inherits AS h WHERE h.inhparent = c.oid AND NOT h.inhdetachpending
            UNION ALL
            SELECT h.inhrelid FROM parts AS u JOIN pg_catalog.pg_inherits AS h ON h.inhparent = u.oid AND NOT h.inhdetachpending
        )
        SELECT ln.nspname, l.relname
        FROM parts AS u
        JOIN pg_catalog.pg_class AS l ON l.oid = u.oid AND l.relispartition AND l.relkind = 'r'
        JOIN pg_catalog.pg_namespace AS ln ON ln.oid = l.relnamespace
        WHERE l.reltuples > 0
        ORDER BY l.reltuples DESC
        LIMIT 1) AS f
)
SELECT a.schema, a.name, a.column_name, w.common, w.bounds
FROM asked AS a
LEFT JOIN fullest AS f ON f.schema = a.schema AND f.name = a.name
CROSS JOIN LATERAL (
    SELECT s.most_common_vals::text::text[] AS common, s.histogram_bounds::text::text[] AS bounds
    FROM (VALUES (1, a.schema, a.name), (2, f.nspname, f.relname)) AS v (choice, schema, name)
    JOIN pg_catalog.pg_stats AS s ON s.schemaname = v.schema AND s.tablename = v.name AND s.attname = a.column_name
    -- of a table with children those of the whole
    ORDER BY v.choice, s.inherited DESC
    LIMIT 1) AS w
LIMIT 10000
