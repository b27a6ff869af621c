-- The partitions below partitioned tables ($1), parents first, with what they hold themselves, where that was ever counted.
-- Whether each column has the attribute number that it has in the table above.
-- privilege: none · cost: a row a partition, and a look at each of its columns · since: 14
SELECT /* pgadvisor */
    p.oid AS root_oid, t.oid, t.parent_oid, c.relkind = 'p' AS is_partitioned,
    c.relkind = 'f' AS is_foreign, n.nspname::text AS schema, c.relname::text AS name,
    CASE WHEN c.relkind = 'p' THEN 0 WHEN c.reltuples >= 0 THEN c.relpages END::float8 AS pages,
    CASE WHEN c.relkind = 'p' THEN 0 WHEN c.reltuples >= 0 THEN c.reltuples END::float8 AS rows,
    NOT EXISTS (
        SELECT FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = t.parent_oid AND a.attnum > 0 AND NOT a.attisdropped AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_attribute AS o
            WHERE o.attrelid = t.oid AND o.attnum = a.attnum AND o.attname = a.attname)) AS has_numbers_of_parent
FROM pg_catalog.unnest($1::oid[]) AS p (oid)
-- pg_partition_tree would lock all of them, and wait for whoever holds one exclusively
CROSS JOIN LATERAL (
    WITH RECURSIVE parts (oid, parent_oid, level) AS (
        SELECT h.inhrelid, h.inhparent, 1 FROM pg_catalog.pg_inherits AS h WHERE h.inhparent = p.oid AND NOT h.inhdetachpending
        UNION ALL
        SELECT h.inhrelid, h.inhparent, u.level + 1
        FROM parts AS u JOIN pg_catalog.pg_inherits AS h ON h.inhparent = u.oid AND NOT h.inhdetachpending
    )
    SELECT u.oid, u.parent_oid, u.level FROM parts AS u) AS t
-- a child by inheritance is none
JOIN pg_catalog.pg_class AS c ON c.oid = t.oid AND c.relispartition
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
ORDER BY t.level, c.relname
LIMIT 100000
