-- VACUUM and index builds that run in this database.
-- privilege: pg_read_all_stats for other roles' · cost: a row each · since: 14
SELECT /* pgadvisor */ 'vacuum' AS kind, v.relid AS oid FROM pg_catalog.pg_stat_progress_vacuum AS v
WHERE v.datname = pg_catalog.current_database() AND v.relid IS NOT NULL
UNION ALL
SELECT 'build', b.index_relid FROM pg_catalog.pg_stat_progress_create_index AS b
WHERE b.datname = pg_catalog.current_database() AND b.index_relid IS NOT NULL
