-- The partitions below partitioned tables ($1), parents first.
-- privilege: none · cost: a row a partition · since: 14
SELECT /* pgadvisor */
    p.oid AS root_oid, t.relid::oid AS oid, t.parentrelid::oid AS parent_oid, c.relkind = 'p' AS is_partitioned,
    c.relkind = 'f' AS is_foreign, n.nspname::text AS schema, c.relname::text AS name
FROM pg_catalog.unnest($1::oid[]) AS p (oid)
CROSS JOIN LATERAL pg_catalog.pg_partition_tree(p.oid) AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.relid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE t.level > 0
ORDER BY t.level, c.relname
LIMIT 100000
