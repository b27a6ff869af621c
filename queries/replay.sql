-- How a standby keeps up; no row on a primary.
-- privilege: none (pg_monitor to see whether it streams) · cost: one row · since: 14
SELECT /* pgadvisor */
    EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver AS w WHERE w.pid IS NOT NULL) AS is_streaming,
    pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())::float8 AS unreplayed_bytes,
    extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())::float8 AS since_last_commit_seconds,
    -- in milliseconds
    (SELECT s.setting::float8 / 1000 FROM pg_catalog.pg_settings AS s WHERE s.name = 'recovery_min_apply_delay') AS delay_seconds
WHERE pg_catalog.pg_is_in_recovery()
