-- What sessions do. Only who waits for a lock is asked who is in the way, and of very many only those who wait longest: that question
-- takes the lock manager's locks.
-- What an idle session ran last is not asked for; texts only where $2 says so, since one in an odd encoding fails them all.
-- privilege: pg_read_all_stats for other roles' sessions · cost: one row a session · since: 14
WITH /* pgadvisor */ waiting AS MATERIALIZED (
    SELECT l.pid FROM pg_catalog.pg_stat_activity AS l WHERE l.wait_event_type = 'Lock' ORDER BY l.query_start, l.pid LIMIT $3
)
SELECT
    a.pid, a.backend_type, a.usename::text AS role, a.datname::text AS database, coalesce(a.application_name, '') AS application, a.state,
    a.wait_event_type, a.wait_event, a.xact_start AS transaction_started_at, a.query_start AS query_started_at,
    a.state_change AS state_changed_at,
    greatest(pg_catalog.age(a.backend_xid), pg_catalog.age(a.backend_xmin))::int8 AS xmin_age,
    CASE WHEN a.state <> 'idle' AND $2 THEN pg_catalog.left(a.query, 20000) END AS text, a.query_id,
    CASE WHEN a.pid IN (SELECT w.pid FROM waiting AS w) THEN pg_catalog.pg_blocking_pids(a.pid) ELSE '{}' END AS blocked_by
FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid <> pg_catalog.pg_backend_pid()
ORDER BY a.xact_start NULLS LAST, a.pid
LIMIT $1
