-- Counters of all top-level statements, without texts: those would make the server read its text file each time.
-- privilege: pg_read_all_stats · cost: one row a statement; new statements of others wait while it runs · since: 14, extension 1.9
SELECT /* pgadvisor */
    s.userid AS user_oid, s.dbid AS database_oid, s.queryid, s.calls, s.total_exec_time AS execution_ms,
    s.stddev_exec_time AS stddev_ms, s.rows, s.shared_blks_hit AS shared_blocks_hit, s.shared_blks_read AS shared_blocks_read,
    s.temp_blks_written AS temp_blocks_written, NULL::timestamptz AS since
FROM {schema}.pg_stat_statements(false) AS s
WHERE s.toplevel AND s.queryid IS NOT NULL AND s.calls > 0
LIMIT $1
