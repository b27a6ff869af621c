-- Whose code may run while planning: superusers', the planning login's own, and, unless that login is as good as a
-- superuser, that of the database's owner and of the trusted roles ($1), of which is told which are known here.
-- privilege: none · cost: one pass over pg_roles · since: 14
WITH planner AS (
    SELECT r.oid, r.rolname,
        EXISTS (
            SELECT FROM pg_catalog.pg_roles AS s
            WHERE (s.rolsuper OR s.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files'))
              AND pg_catalog.pg_has_role(r.oid, s.oid, 'MEMBER')) AS is_powerful
    FROM pg_catalog.pg_roles AS r
    WHERE r.rolname = current_user
)
SELECT /* pgadvisor */
    pg_catalog.array_agg(r.oid) AS trusted,
    ARRAY(SELECT n.rolname::text FROM pg_catalog.pg_roles AS n WHERE n.rolname::text = ANY ($1)) AS named,
    p.rolname::text AS planner,
    p.is_powerful,
    pg_catalog.current_setting('server_encoding') = 'UTF8' AS is_utf8
FROM planner AS p
CROSS JOIN pg_catalog.pg_database AS d
JOIN pg_catalog.pg_roles AS r
    ON r.rolsuper OR r.oid = p.oid OR NOT p.is_powerful AND (r.oid = d.datdba OR r.rolname::text = ANY ($1))
WHERE d.datname = pg_catalog.current_database()
GROUP BY p.rolname, p.is_powerful
