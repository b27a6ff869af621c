-- The statements of this database that took most time, by the totals since the last reset.
-- privilege: pg_read_all_stats · cost: the server reads its text file once · since: 14, extension 1.9
SELECT /* pgadvisor */ r.rolname::text AS role, s.query AS text, s.calls, s.rows, s.total_exec_time AS execution_ms
FROM {schema}.pg_stat_statements(true) AS s
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.userid
WHERE s.dbid = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
  AND s.toplevel AND s.calls > 0 AND s.query IS NOT NULL
ORDER BY s.total_exec_time DESC
LIMIT $1
