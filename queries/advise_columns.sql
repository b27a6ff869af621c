-- The columns of tables ($1): as pages tell them (told_type; is_not_null, also by a domain), type with its length, of a domain
-- that which it is over, whether its text is compared byte by byte, as under the collation C (so are all collations of
-- PostgreSQL's own provider), and where statistics may be read mean bytes, how many values there are, how far rows are stored
-- in their order, and the parts of them that are NULL (none, where statistics do not tell, of a column that is NOT NULL) and
-- that have the commonest value. Of a partitioned table that was never analyzed as a whole, which autovacuum does not do, the
-- partition with most rows stands for it; but how many values a column has by which it is partitioned, no one partition tells.
-- privilege: none (SELECT for the bytes) · cost: a row a column · since: 14
SELECT /* pgadvisor */
    a.attrelid AS table_oid, a.attname::text AS name, t.typname::text AS type, t.typlen::int4 AS type_bytes,
    pg_catalog.format_type(a.atttypid, a.atttypmod) AS told_type, a.attnotnull OR b.is_not_null AS is_not_null,
    b.modifier, t.typcategory = 'A' AS is_array,
    t.typtype IN ('r', 'm') AS is_range,
    CASE o.collprovider
        WHEN 'c' THEN o.collcollate IN ('C', 'POSIX')
        WHEN 'b' THEN true
        WHEN 'd' THEN d.has_byte_order
        ELSE false
    END AS has_byte_order,
    w.width, w.distinct_values, w.correlation, coalesce(w.null_ratio, CASE WHEN a.attnotnull THEN 0 END) AS null_ratio,
    w.commonest_ratio
FROM pg_catalog.unnest($1::oid[]) AS p (oid)
JOIN pg_catalog.pg_class AS c ON c.oid = p.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    -- pg_partition_tree would lock all of them, and wait for whoever holds one exclusively
    WITH RECURSIVE parts (oid) AS (
        SELECT h.inhrelid FROM pg_catalog.pg_inherits AS h WHERE h.inhparent = c.oid AND NOT h.inhdetachpending
        UNION ALL
        SELECT h.inhrelid FROM parts AS u JOIN pg_catalog.pg_inherits AS h ON h.inhparent = u.oid AND NOT h.inhdetachpending
    )
    SELECT ln.nspname, l.relname, ARRAY(
            SELECT ka.attname
            FROM pg_catalog.pg_partition_ancestors(l.oid) AS k (oid)
            JOIN pg_catalog.pg_partitioned_table AS kp ON kp.partrelid = k.oid
            JOIN pg_catalog.pg_attribute AS ka ON ka.attrelid = k.oid AND ka.attnum = ANY (kp.partattrs)) AS keys
    FROM parts AS u
    JOIN pg_catalog.pg_class AS l ON l.oid = u.oid AND l.relispartition AND l.relkind = 'r'
    JOIN pg_catalog.pg_namespace AS ln ON ln.oid = l.relnamespace
    WHERE c.relkind = 'p' AND l.reltuples > 0
    ORDER BY l.reltuples DESC
    LIMIT 1) AS f ON true
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
CROSS JOIN LATERAL (
    -- a domain may be over another one; the length of text is in the innermost that has one
    WITH RECURSIVE domains (oid, base_oid, modifier, is_not_null, depth) AS (
        SELECT u.oid, u.typbasetype, CASE u.typtype WHEN 'd' THEN u.typtypmod ELSE a.atttypmod END, u.typnotnull, 1
        FROM pg_catalog.pg_type AS u
        WHERE u.oid = a.atttypid
        UNION ALL
        SELECT u.oid, u.typbasetype, CASE WHEN u.typtype = 'd' THEN u.typtypmod ELSE o.modifier END,
            o.is_not_null OR u.typnotnull, o.depth + 1
        FROM domains AS o
        JOIN pg_catalog.pg_type AS u ON u.oid = o.base_oid
        WHERE o.base_oid <> 0 AND o.depth < 100
    )
    SELECT o.oid, o.modifier, o.is_not_null FROM domains AS o ORDER BY o.depth DESC LIMIT 1) AS b
JOIN pg_catalog.pg_type AS t ON t.oid = b.oid
LEFT JOIN pg_catalog.pg_collation AS o ON o.oid = a.attcollation
CROSS JOIN (
    -- the provider is told since 15
    SELECT CASE coalesce(pg_catalog.to_jsonb(b) ->> 'datlocprovider', 'c')
            WHEN 'c' THEN b.datcollate IN ('C', 'POSIX')
            WHEN 'b' THEN true
            ELSE false
        END AS has_byte_order
    FROM pg_catalog.pg_database AS b
    WHERE b.datname = pg_catalog.current_database()) AS d
LEFT JOIN LATERAL (
    SELECT pg_catalog.max(s.avg_width)::float8 AS width,
        CASE WHEN v.choice = 1 OR a.attname <> ALL (f.keys) THEN pg_catalog.max(s.n_distinct) END::float8 AS distinct_values,
        pg_catalog.max(pg_catalog.abs(s.correlation))::float8 AS correlation,
        pg_catalog.min(s.null_frac)::float8 AS null_ratio,
        pg_catalog.max(s.most_common_freqs[1])::float8 AS commonest_ratio
    FROM (VALUES (1, n.nspname, c.relname), (2, f.nspname, f.relname)) AS v (choice, schema, name)
    JOIN pg_catalog.pg_stats AS s ON s.schemaname = v.schema AND s.tablename = v.name AND s.attname = a.attname
    GROUP BY v.choice
    ORDER BY v.choice
    LIMIT 1) AS w ON true
LIMIT 100000
