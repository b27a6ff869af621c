-- The indexes of tables ($1), and of partitions those that belong to no index of the whole, each with its keys: a column's name or
-- an expression's text, and whether it is the type's own order.
-- privilege: none · cost: some rows a table · since: 14
SELECT /* pgadvisor */
    i.indexrelid AS oid, i.indrelid AS table_oid, n.nspname::text AS schema, c.relname::text AS name, m.amname::text AS method,
    i.indisunique AS is_unique, k.oid IS NOT NULL OR i.indisreplident OR i.indisexclusion OR i.indisclustered AS is_needed,
    pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS predicate,
    ARRAY(
        SELECT a.attname::text FROM pg_catalog.generate_series(1, i.indnkeyatts::int4) AS g (n)
        LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[g.n - 1] AND a.attnum <> 0
        ORDER BY g.n) AS columns,
    ARRAY(
        SELECT CASE WHEN i.indkey[g.n - 1] = 0 THEN pg_catalog.pg_get_indexdef(i.indexrelid, g.n, false) END
        FROM pg_catalog.generate_series(1, i.indnkeyatts::int4) AS g (n) ORDER BY g.n) AS expressions,
    ARRAY(SELECT i.indoption[g.n - 1]::int4 FROM pg_catalog.generate_series(1, i.indnkeyatts::int4) AS g (n) ORDER BY g.n) AS options,
    ARRAY(
        -- an expression has the database's own collation, or that of a column in it
        SELECT o.opcdefault AND (i.indcollation[g.n - 1] = 0
            OR i.indcollation[g.n - 1] = coalesce(a.attcollation, 'pg_catalog."default"'::pg_catalog.regcollation)
            OR a.attnum IS NULL AND EXISTS (
                SELECT FROM pg_catalog.pg_depend AS d
                JOIN pg_catalog.pg_attribute AS da ON da.attrelid = d.refobjid AND da.attnum = d.refobjsubid
                WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid
                  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = i.indrelid
                  AND da.attcollation = i.indcollation[g.n - 1]))
        FROM pg_catalog.generate_series(1, i.indnkeyatts::int4) AS g (n)
        JOIN pg_catalog.pg_opclass AS o ON o.oid = i.indclass[g.n - 1]
        LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[g.n - 1] AND a.attnum <> 0
        ORDER BY g.n) AS are_plain,
    ARRAY(
        SELECT a.attname::text FROM pg_catalog.generate_series(i.indnkeyatts + 1, i.indnatts::int4) AS g (n)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[g.n - 1]
        ORDER BY g.n) AS include,
    p.oids AS part_oids, p.schemas AS part_schemas, p.names AS part_names
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
-- what plans name of an index of a partitioned table: those of its partitions; pg_partition_tree would lock all of them
LEFT JOIN LATERAL (
    WITH RECURSIVE parts (oid) AS (
        SELECT h.inhrelid FROM pg_catalog.pg_inherits AS h WHERE h.inhparent = i.indexrelid
        UNION
        SELECT h.inhrelid FROM parts AS u JOIN pg_catalog.pg_inherits AS h ON h.inhparent = u.oid
    )
    SELECT pg_catalog.array_agg(l.oid) AS oids, pg_catalog.array_agg(ln.nspname::text) AS schemas,
        pg_catalog.array_agg(l.relname::text) AS names
    FROM (SELECT u.oid FROM parts AS u LIMIT 100000) AS t
    JOIN pg_catalog.pg_class AS l ON l.oid = t.oid AND l.relkind = 'i'
    JOIN pg_catalog.pg_namespace AS ln ON ln.oid = l.relnamespace
    WHERE c.relkind = 'I') AS p ON true
WHERE i.indrelid = ANY ($1) AND i.indisvalid AND NOT c.relispartition
ORDER BY i.indexrelid
LIMIT 100000
