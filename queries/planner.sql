-- What this planning session leaves alone, and where HypoPG is.
-- privilege: none · cost: one row · since: 14
SELECT /* pgadvisor */
    pg_catalog.pg_backend_pid() AS pid,
    pg_catalog.current_setting('track_counts') = 'off' AS leaves_counters,
    coalesce(pg_catalog.current_setting('pg_stat_statements.track', true), 'none') = 'none' AS leaves_statements,
    (SELECT n.nspname::text FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
     WHERE e.extname = 'hypopg') AS hypopg_schema,
    (SELECT e.extversion FROM pg_catalog.pg_extension AS e WHERE e.extname = 'hypopg') AS hypopg_version
