-- What this planning session leaves alone, and where HypoPG is.
-- privilege: none · cost: one row · since: 14
SELECT /* pgadvisor */
    pg_catalog.pg_backend_pid() AS pid,
    pg_catalog.pg_is_in_recovery() AS is_standby,
    pg_catalog.current_setting('track_counts') = 'off' AS leaves_counters,
    coalesce(pg_catalog.current_setting('pg_stat_statements.track', true), 'none') = 'none' AS leaves_statements,
    (SELECT s.setting::int FROM pg_catalog.pg_settings AS s
     WHERE s.name = 'pg_stat_statements.max' AND s.vartype = 'integer') AS statements_max,
    pg_catalog.current_setting('server_version_num')::int AS version_num,
    (SELECT c.reltuples::float8 FROM pg_catalog.pg_class AS c
     WHERE c.oid = 'pg_catalog.pg_class'::pg_catalog.regclass) AS relations,
    (SELECT n.nspname::text FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
     WHERE e.extname = 'hypopg') AS hypopg_schema,
    (SELECT pg_catalog.has_schema_privilege(e.extnamespace, 'USAGE') FROM pg_catalog.pg_extension AS e
     WHERE e.extname = 'hypopg') AS may_use_hypopg,
    (SELECT e.extversion FROM pg_catalog.pg_extension AS e WHERE e.extname = 'hypopg') AS hypopg_version
