-- The statements of this database that took most time, by the totals since the last reset; those that functions ran, too, as
-- far as pg_stat_statements.track has them counted; none that only show a plan. And how many there are in all, with their time.
-- privilege: pg_read_all_stats · cost: the server reads its text file once · since: 14, extension 1.9
SELECT /* pgadvisor */
    r.rolname::text AS role, s.text, s.text = '<insufficient privilege>' AS is_hidden, s.calls::int8 AS calls,
    s.rows::int8 AS rows, s.execution_ms,
    (pg_catalog.sum(s.entries) OVER ())::int8 AS statements, pg_catalog.sum(s.execution_ms) OVER () AS all_ms,
    (pg_catalog.sum(s.entries) FILTER (WHERE s.text = '<insufficient privilege>') OVER ())::int8 AS hidden
FROM (
    SELECT
        s.userid, pg_catalog.min(s.query) AS text, pg_catalog.sum(s.calls) AS calls, pg_catalog.sum(s.rows) AS rows,
        pg_catalog.sum(s.total_exec_time) AS execution_ms,
        -- what may not be seen has no id: all of a role's are one
        CASE WHEN s.queryid IS NULL THEN pg_catalog.count(*) ELSE 1 END AS entries
    FROM {schema}.pg_stat_statements(true) AS s
    WHERE s.dbid = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
      -- what is explained is counted, too, without having run
      AND s.calls > 0 AND s.total_exec_time > 0 AND s.query IS NOT NULL
      AND s.query NOT LIKE '%/* pgadvisor */%' AND s.query !~* '^\s*explain\y'
    -- a statement that a function ran is counted apart
    GROUP BY s.userid, s.queryid, CASE WHEN s.queryid IS NULL THEN s.query END
) AS s
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.userid
ORDER BY is_hidden, s.execution_ms DESC
LIMIT $1
