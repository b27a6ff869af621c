-- VACUUM and index builds that run in this database. Whose table may not be seen has none: somewhere, one is running.
-- privilege: pg_read_all_stats for other roles' · cost: a row each · since: 14
SELECT /* pgadvisor */ 'vacuum' AS kind, v.pid, v.relid AS table_oid FROM pg_catalog.pg_stat_progress_vacuum AS v
WHERE v.datname = pg_catalog.current_database()
UNION ALL
-- VACUUM FULL and CLUSTER: they leave no dead row version behind, either
SELECT 'vacuum', c.pid, c.relid FROM pg_catalog.pg_stat_progress_cluster AS c
WHERE c.datname = pg_catalog.current_database()
UNION ALL
-- by table: REINDEX of a table shows one index at a time, while those that it built before are not valid yet
SELECT 'build', b.pid, b.relid FROM pg_catalog.pg_stat_progress_create_index AS b
WHERE b.datname = pg_catalog.current_database()
