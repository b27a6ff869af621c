-- Where a server stands in its WAL, and how a standby keeps up.
-- privilege: none (pg_monitor to see whether it streams) · cost: one row · since: 14
SELECT /* pgadvisor */
    pg_catalog.pg_is_in_recovery() AS is_standby,
    -- written on a primary; received or restored on a standby, which may hold what it received before it was restarted
    pg_catalog.pg_wal_lsn_diff(
        CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN greatest(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
            ELSE pg_catalog.pg_current_wal_lsn()
        END, '0/0'
    )::float8 AS wal_position_bytes,
    EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver AS w WHERE w.pid IS NOT NULL) AS is_streaming,
    pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())::float8 AS unreplayed_bytes,
    extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())::float8 AS since_last_commit_seconds,
    -- only whether there is one: its text may hold secrets
    pg_catalog.current_setting('restore_command', true) <> '' AS restores_from_archive,
    pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))::float8 AS segment_bytes,
    -- in milliseconds
    (SELECT s.setting::float8 / 1000 FROM pg_catalog.pg_settings AS s
     WHERE pg_catalog.pg_is_in_recovery() AND s.name = 'recovery_min_apply_delay') AS delay_seconds
