-- What was written to tables ($1) since their counters began, partitions together, and the rows that are there; and when that
-- was: of a server of its first counters from 15 on nobody knows. Totals are a rate only from a day on, and only beyond what one
-- load explains (rows that came and are still there): a fresh bulk load is no rate. Where the counters of one table or function
-- alone were reset, the time is that of this reset, later than what the others count since.
-- privilege: none · cost: a row a table · since: 14
SELECT /* pgadvisor */
    p.oid AS table_oid, pg_catalog.sum(pg_catalog.pg_stat_get_tuples_inserted(t.oid))::float8 AS inserted,
    pg_catalog.sum(pg_catalog.pg_stat_get_tuples_updated(t.oid))::float8 AS updated,
    pg_catalog.sum(pg_catalog.pg_stat_get_tuples_hot_updated(t.oid))::float8 AS updated_hot,
    -- what ANALYZE of a partitioned table counted is in its partitions, too
    pg_catalog.sum(CASE WHEN r.relkind = 'p' THEN 0
        ELSE greatest(pg_catalog.pg_stat_get_live_tuples(t.oid)::float8, r.reltuples::float8, 0) END)::float8 AS live_rows,
    pg_catalog.clock_timestamp() AS at,
    (SELECT d.stats_reset FROM pg_catalog.pg_stat_database AS d WHERE d.datname = pg_catalog.current_database()) AS since
FROM pg_catalog.unnest($1::oid[]) AS p (oid)
CROSS JOIN LATERAL (
    -- pg_partition_tree would lock all of them, and wait for whoever holds one exclusively
    WITH RECURSIVE parts (oid) AS (
        SELECT p.oid
        UNION ALL
        SELECT h.inhrelid
        FROM parts AS u
        JOIN pg_catalog.pg_inherits AS h ON h.inhparent = u.oid AND NOT h.inhdetachpending
        JOIN pg_catalog.pg_class AS k ON k.oid = h.inhrelid AND k.relispartition
    )
    SELECT u.oid FROM parts AS u) AS t (oid)
LEFT JOIN pg_catalog.pg_class AS r ON r.oid = t.oid
GROUP BY p.oid
LIMIT 100000
