-- Counters of all top-level statements, without texts: those would make the server read its text file each time.
-- Each column is one array.
-- privilege: pg_read_all_stats · cost: one row a statement; new statements of others wait while it runs · since: 14, extension 1.9
SELECT /* pgadvisor */
    pg_catalog.array_agg(s.userid) AS user_oids, pg_catalog.array_agg(s.dbid) AS database_oids,
    pg_catalog.array_agg(s.queryid) AS queryids, pg_catalog.array_agg(s.calls) AS calls,
    pg_catalog.array_agg(s.total_exec_time) AS execution_ms, pg_catalog.array_agg(s.stddev_exec_time) AS stddev_ms,
    pg_catalog.array_agg(s.max_exec_time) AS max_ms, pg_catalog.array_agg(s.total_plan_time) AS planning_ms,
    pg_catalog.array_agg(s.rows) AS rows, pg_catalog.array_agg(s.shared_blks_hit) AS shared_blocks_hit,
    pg_catalog.array_agg(s.shared_blks_read) AS shared_blocks_read, pg_catalog.array_agg(s.temp_blks_written) AS temp_blocks_written,
    pg_catalog.array_agg(s.since) AS since
FROM (
    SELECT
        s.userid, s.dbid, s.queryid, s.calls, s.total_exec_time, s.stddev_exec_time, s.max_exec_time, s.total_plan_time, s.rows, s.shared_blks_hit,
        s.shared_blks_read, s.temp_blks_written, NULL::timestamptz AS since
    FROM {schema}.pg_stat_statements(false) AS s
    WHERE s.toplevel AND s.queryid IS NOT NULL AND s.calls > 0
    LIMIT $1
) AS s
