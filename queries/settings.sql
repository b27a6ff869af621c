-- Settings that rules read; of those that wait for a restart, and those by which managed services show themselves, texts are not read.
-- privilege: none (pg_read_all_settings for some) · cost: pg_settings once · since: 14
SELECT /* pgadvisor */ s.name, CASE WHEN n.is_read OR s.vartype <> 'string' THEN s.setting END AS setting, s.unit, s.source, s.pending_restart, s.context,
    -- NULL without pg_read_all_settings
    s.sourcefile LIKE '%postgresql.auto.conf' AS is_altered
FROM pg_catalog.pg_settings AS s
CROSS JOIN LATERAL (
    SELECT
        s.name LIKE 'autovacuum%' OR s.name LIKE 'vacuum%' OR s.name LIKE 'track%' OR s.name LIKE 'pg_stat_statements.%' OR s.name LIKE 'enable\_%'
        OR s.name IN (
        'block_size', 'checkpoint_completion_target', 'checkpoint_timeout', 'compute_query_id', 'cluster_name', 'deadlock_timeout', 'default_statistics_target', 'effective_cache_size',
        'effective_io_concurrency', 'fsync', 'full_page_writes', 'hash_mem_multiplier', 'hot_standby_feedback', 'huge_pages',
        'idle_in_transaction_session_timeout', 'lock_timeout', 'log_autovacuum_min_duration', 'log_checkpoints', 'log_lock_waits',
        'log_min_duration_statement', 'log_min_messages', 'log_temp_files', 'maintenance_work_mem', 'max_connections', 'max_slot_wal_keep_size', 'max_wal_size',
        'random_page_cost', 'recovery_min_apply_delay', 'reserved_connections', 'seq_page_cost', 'server_encoding', 'server_version',
        'shared_buffers', 'shared_preload_libraries', 'statement_timeout', 'superuser_reserved_connections', 'synchronous_commit',
        'wal_buffers', 'wal_compression', 'wal_level', 'work_mem') AS is_read
) AS n
WHERE n.is_read OR s.pending_restart
   -- RDS, Aurora, Cloud SQL, AlloyDB, Azure, Neon, Supabase (log_min_messages above: where its image is started by hand)
   OR pg_catalog.split_part(s.name, '.', 1) IN ('rds', 'apg_plan_mgmt', 'cloudsql', 'alloydb', 'google_columnar_engine', 'azure', 'neon', 'supautils')
   OR s.name LIKE 'aurora\_%' OR s.name LIKE 'apg\_%'
