-- The columns of tables ($1): type, and where statistics may be read mean bytes, how many values there are, how far rows are stored in
-- their order, and the part of them that is NULL.
-- privilege: none (SELECT for the bytes) · cost: a row a column · since: 14
SELECT /* pgadvisor */
    a.attrelid AS table_oid, a.attname::text AS name, t.typname::text AS type, t.typcategory = 'A' AS is_array,
    t.typtype IN ('r', 'm') AS is_range, w.width, w.distinct_values, w.correlation, w.null_ratio
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT pg_catalog.max(s.avg_width)::float8 AS width, pg_catalog.max(s.n_distinct)::float8 AS distinct_values,
        pg_catalog.max(pg_catalog.abs(s.correlation))::float8 AS correlation,
        pg_catalog.min(s.null_frac)::float8 AS null_ratio
    FROM pg_catalog.pg_stats AS s
    WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname) AS w ON true
WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
LIMIT 100000
