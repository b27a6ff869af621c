-- What was written to tables ($1) since their counters began, partitions together.
-- privilege: none · cost: a row a table · since: 14
SELECT /* pgadvisor */
    p.oid AS table_oid, pg_catalog.sum(pg_catalog.pg_stat_get_tuples_inserted(t.oid))::float8 AS inserted,
    pg_catalog.sum(pg_catalog.pg_stat_get_tuples_updated(t.oid))::float8 AS updated,
    pg_catalog.sum(pg_catalog.pg_stat_get_tuples_hot_updated(t.oid))::float8 AS updated_hot,
    pg_catalog.clock_timestamp() AS at
FROM pg_catalog.unnest($1::oid[]) AS p (oid)
CROSS JOIN LATERAL (
    SELECT p.oid UNION SELECT i.relid::oid FROM pg_catalog.pg_partition_tree(p.oid) AS i) AS t (oid)
GROUP BY p.oid
LIMIT 100000
