-- What is known of tables by their schemas ($1) and names ($2): a partition counts for the table that it belongs to.
-- privilege: none · cost: a few rows a table · since: 14
SELECT /* pgadvisor */
    a.schema, a.name, r.oid, n.nspname::text AS root_schema, r.relname::text AS root_name, r.relkind = 'p' AS is_partitioned,
    r.relkind IN ('r', 'p', 'm') AND r.relpersistence <> 't' AND r.oid >= 16384
        AND n.nspname NOT IN ('pg_catalog', 'information_schema') AS may_be_indexed,
    s.pages, s.rows, s.was_counted,
    -- without SELECT pg_stats shows nothing, whatever there is
    NOT pg_catalog.has_table_privilege(r.oid, 'SELECT') OR EXISTS (
        SELECT FROM pg_catalog.pg_stats AS t WHERE (t.schemaname, t.tablename) IN ((n.nspname, r.relname), (a.schema, a.name))) AS was_analyzed
FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS a (schema, name)
JOIN pg_catalog.pg_namespace AS an ON an.nspname = a.schema
JOIN pg_catalog.pg_class AS c ON c.relnamespace = an.oid AND c.relname = a.name
JOIN pg_catalog.pg_class AS r ON r.oid = coalesce(pg_catalog.pg_partition_root(c.oid), c.oid)
JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
CROSS JOIN LATERAL (
    SELECT pg_catalog.sum(l.relpages)::float8 AS pages, pg_catalog.sum(greatest(l.reltuples, 0))::float8 AS rows,
           pg_catalog.bool_or(l.reltuples >= 0) AS was_counted
    FROM pg_catalog.pg_class AS l
    WHERE l.relkind IN ('r', 'm', 'f')
      AND l.oid IN (SELECT r.oid UNION ALL SELECT t.relid FROM pg_catalog.pg_partition_tree(r.oid) AS t)
) AS s
