-- What sessions of clients do at this moment, counted by database, statement, wait event, role and application; ours are left out.
-- Sessions of which the login does not see what they do have no state, and where track_activities is off it is another one: how many
-- these are comes in the first row. all_sessions counts those, too, for which there was no room.
-- privilege: pg_read_all_stats for other roles' sessions · cost: one row a session is read, the most frequent groups are sent · since: 14
SELECT /* pgadvisor */
    s.is_hidden, s.database, s.query_id, s.wait_event_type, s.wait_event, s.role, s.application, count(*) AS sessions,
    (pg_catalog.sum(count(*)) OVER (PARTITION BY s.is_hidden))::int8 AS all_sessions
FROM (
    SELECT
        a.state IS DISTINCT FROM 'active' AS is_hidden,
        CASE WHEN a.state = 'active' THEN a.datname::text END AS database,
        CASE WHEN a.state = 'active' THEN a.query_id END AS query_id,
        CASE WHEN a.state = 'active' THEN a.wait_event_type END AS wait_event_type,
        CASE WHEN a.state = 'active' THEN a.wait_event END AS wait_event,
        CASE WHEN a.state = 'active' THEN a.usename::text END AS role,
        CASE WHEN a.state = 'active' THEN coalesce(a.application_name, '') END AS application
    FROM pg_catalog.pg_stat_activity AS a
    WHERE a.pid <> pg_catalog.pg_backend_pid() AND coalesce(a.application_name, '') NOT LIKE 'pgadvisor%'
        AND (
            a.backend_type = 'client backend' AND a.state IN ('active', 'disabled')
            OR a.backend_type IS NULL AND a.state IS NULL AND a.usesysid IS NOT NULL
        )
) AS s
GROUP BY s.is_hidden, s.database, s.query_id, s.wait_event_type, s.wait_event, s.role, s.application
ORDER BY s.is_hidden DESC, count(*) DESC
LIMIT $1
