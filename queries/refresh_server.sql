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
                        WHERE (w.setdatabase IN (0, d.oid)) AND 'track_counts=off' = ANY (w.setconfig)
                          AND NOT 'pg_stat_statements.track=none' = ANY (w.setconfig)) AS are_changes_counted,
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
