-- What ANALYZE found out about the column that each of these indexes ($1) begins with: shares and numbers, never a value.
-- Expressions are left out. With the tables above its own: what is read there is read here, too.
-- privilege: SELECT on the columns, else pg_stats shows nothing of them: may_select tells · cost: a few look-ups an index, only of large ones, every ten minutes · since: 14
SELECT /* pgadvisor */
    i.indexrelid AS index_oid, i.indrelid AS table_oid, a.attnum AS attribute_number, a.attname::text AS column_name,
    current_user::text AS login,
    coalesce(pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT'), false) AS may_select,
    pg_catalog.row_security_active(c.oid) AS is_hidden,
    s.null_ratio, s.distinct_values, s.width_bytes, s.commonest_ratio,
    higher.schemas AS ancestor_schemas, higher.names AS ancestor_names
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] AND NOT a.attisdropped
LEFT JOIN LATERAL (
    SELECT v.null_frac::float8 AS null_ratio, v.n_distinct::float8 AS distinct_values, v.avg_width::float8 AS width_bytes,
        v.most_common_freqs[1]::float8 AS commonest_ratio
    FROM pg_catalog.pg_stats AS v
    -- of a table with children its own rows alone, which are those of the index
    WHERE v.schemaname = n.nspname AND v.tablename = c.relname AND v.attname = a.attname AND NOT v.inherited
    -- so that the view is asked for one column at a time, not for all columns of the database
    LIMIT 1
) AS s ON true
LEFT JOIN LATERAL (
    WITH RECURSIVE ancestors (oid) AS (
        SELECT h.inhparent FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid = c.oid
        UNION
        SELECT h.inhparent FROM ancestors AS u JOIN pg_catalog.pg_inherits AS h ON h.inhrelid = u.oid
    )
    SELECT pg_catalog.array_agg(b.nspname::text ORDER BY p.oid) AS schemas,
        pg_catalog.array_agg(p.relname::text ORDER BY p.oid) AS names
    FROM ancestors AS u
    JOIN pg_catalog.pg_class AS p ON p.oid = u.oid
    JOIN pg_catalog.pg_namespace AS b ON b.oid = p.relnamespace
) AS higher ON true
WHERE i.indexrelid = ANY ($1)
LIMIT pg_catalog.cardinality($1)
