-- Foreign keys with their columns and types, of tables that are no partitions of others.
-- privilege: none · cost: one pass over pg_constraint, every ten minutes · since: 14
SELECT /* pgadvisor */
    k.oid, k.conname::text AS name, k.conrelid AS table_oid, k.confrelid AS referenced_oid, k.confdeltype::text AS on_delete, k.confmatchtype = 'f' AS is_match_full,
    false AS is_temporal,
    k.convalidated AS is_valid, f.columns, f.types, f.referenced_columns, f.referenced_types
FROM pg_catalog.pg_constraint AS k
CROSS JOIN LATERAL (
    SELECT
        pg_catalog.array_agg(a.attname::text ORDER BY u.position) AS columns,
        pg_catalog.array_agg(pg_catalog.format_type(a.atttypid, a.atttypmod) ORDER BY u.position) AS types,
        pg_catalog.array_agg(b.attname::text ORDER BY u.position) AS referenced_columns,
        pg_catalog.array_agg(pg_catalog.format_type(b.atttypid, b.atttypmod) ORDER BY u.position) AS referenced_types
    FROM ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey)) WITH ORDINALITY AS u (attnum, refnum, position)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
    JOIN pg_catalog.pg_attribute AS b ON b.attrelid = k.confrelid AND b.attnum = u.refnum
) AS f
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid >= 16384
LIMIT $1
