-- The clock of the server, whether it takes a REFRESH, since when its counters count, and whether the table of runs is there
-- and can be trusted: whoever could put code into it would have it run by the login that refreshes.
-- privilege: none · cost: some rows of the catalogs · since: 14
SELECT /* pgadvisor */
    pg_catalog.clock_timestamp() AS at,
    pg_catalog.current_setting('server_version_num')::int4 AS version_num,
    pg_catalog.pg_is_in_recovery() AS is_standby,
    (SELECT count(*) FROM pg_catalog.pg_stat_replication AS r) AS standbys,
    current_user::text AS login,
    pg_catalog.concat_ws(' ', pg_catalog.pg_postmaster_start_time(), pg_catalog.pg_stat_get_db_stat_reset_time(d.oid),
        (SELECT b.stats_reset FROM pg_catalog.pg_stat_bgwriter AS b), (SELECT w.stats_reset FROM pg_catalog.pg_stat_wal AS w)) AS epoch,
    -- who writes with track_counts off changes tables unseen; logins of ours that only plan have it off, too
    pg_catalog.current_setting('track_counts')::bool
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting AS w
                        WHERE (w.setdatabase IN (0, d.oid))
                          AND EXISTS (SELECT FROM pg_catalog.unnest(w.setconfig) AS o (setting)
                                      WHERE o.setting LIKE 'track_counts=%' AND NOT pg_catalog.split_part(o.setting, '=', 2)::bool)
                          AND NOT 'pg_stat_statements.track=none' = ANY (w.setconfig)) AS are_changes_counted,
    -- what a session wrote is counted when its transaction ends, and somewhat later (the parameter): one that is in a longer transaction
    -- may have written before it. Until 14 an idle session may keep what it counted until it is asked something. What others
    -- do is seen by members of pg_read_all_stats alone.
    EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a
            WHERE a.datid = d.oid AND a.pid <> pg_catalog.pg_backend_pid() AND coalesce(a.backend_type, 'client backend') = 'client backend'
              AND a.application_name NOT LIKE 'pgadvisor%' AND (a.state IS NULL OR a.xact_start < pg_catalog.clock_timestamp() - $1::text::interval)
    ) AS may_write_unseen,
    (SELECT max(a.state_change) FROM pg_catalog.pg_stat_activity AS a
     WHERE a.datid = d.oid AND a.pid <> pg_catalog.pg_backend_pid() AND a.application_name NOT LIKE 'pgadvisor%'
       AND pg_catalog.current_setting('server_version_num')::int4 < 150000) AS last_activity_at,
    (SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat(w.oid, ':', w.xmin), ',' ORDER BY w.oid))
     FROM pg_catalog.pg_rewrite AS w WHERE w.oid >= 16384) AS definitions,
    c.oid IS NOT NULL AS has_record,
    CASE WHEN c.relkind <> 'r' OR c.relhasrules OR c.relhastriggers OR c.relrowsecurity OR c.relhassubclass
              THEN 'pgadvisor.refresh_run is no plain table, or has triggers, rules or policies'
         WHEN NOT ((o.rolsuper OR o.rolname = current_user) AND (s.rolsuper OR s.rolname = current_user))
              THEN 'pgadvisor.refresh_run and its schema must belong to a superuser, or to the login that refreshes'
         WHEN NOT (pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
              AND pg_catalog.has_table_privilege(c.oid, 'INSERT') AND pg_catalog.has_table_privilege(c.oid, 'UPDATE')
              AND pg_catalog.has_table_privilege(c.oid, 'DELETE'))
              THEN 'the login that refreshes may not read and write pgadvisor.refresh_run'
    END AS why_no_record
FROM pg_catalog.pg_database AS d
LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = 'pgadvisor'
LEFT JOIN pg_catalog.pg_roles AS s ON s.oid = n.nspowner
LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = 'refresh_run'
LEFT JOIN pg_catalog.pg_roles AS o ON o.oid = c.relowner
WHERE d.datname = pg_catalog.current_database()
