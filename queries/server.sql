-- The server as a whole, by its own clock.
-- privilege: none · cost: one row · since: 14
SELECT /* pgadvisor */
    pg_catalog.clock_timestamp() AS at,
    pg_catalog.current_setting('server_version_num')::int4 AS version_num,
    pg_catalog.pg_postmaster_start_time() AS started_at,
    pg_catalog.pg_is_in_recovery() AS is_standby,
    -- a crash empties all statistics and shows only here
    greatest((SELECT b.stats_reset FROM pg_catalog.pg_stat_bgwriter AS b), (SELECT w.stats_reset FROM pg_catalog.pg_stat_wal AS w)) AS shared_statistics_reset_at,
    (SELECT count(*) FROM pg_catalog.pg_stat_replication AS r) AS standbys,
    -- 64 bits wide, so that it only grows; a standby knows it, too
    pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::int8 AS next_transaction_id,
    current_user::text AS login
