-- How a standby keeps up; no row on a primary.
-- privilege: none (pg_monitor to see whether it streams) · cost: one row · since: 14
SELECT /* pgadvisor */
    -- received or restored: it may hold what it received before it was restarted
    pg_catalog.pg_wal_lsn_diff(
        greatest(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn()), '0/0'
    )::float8 AS wal_position_bytes,
    EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver AS w WHERE w.pid IS NOT NULL) AS is_streaming,
    pg_catalog.pg_get_wal_replay_pause_state() <> 'not paused' AS is_paused,
    -- where that is reached it is paused, too (recovery_target_action), and to resume it ends recovery
    pg_catalog.current_setting('recovery_target', true)
        || pg_catalog.current_setting('recovery_target_lsn', true)
        || pg_catalog.current_setting('recovery_target_name', true)
        || pg_catalog.current_setting('recovery_target_time', true)
        || pg_catalog.current_setting('recovery_target_xid', true) <> '' AS has_recovery_target,
    pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())::float8 AS unreplayed_bytes,
    extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())::float8 AS since_last_commit_seconds,
    -- only whether there is one: its text may hold secrets
    pg_catalog.current_setting('restore_command', true) <> '' AS restores_from_archive,
    pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))::float8 AS segment_bytes,
    -- in milliseconds
    (SELECT s.setting::float8 / 1000 FROM pg_catalog.pg_settings AS s WHERE s.name = 'recovery_min_apply_delay') AS delay_seconds
WHERE pg_catalog.pg_is_in_recovery()
