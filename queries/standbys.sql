-- Standbys and other consumers of WAL that are connected, and how far behind they are.
-- privilege: pg_read_all_stats for the columns · cost: one row each · since: 14
SELECT /* pgadvisor */
    coalesce(r.application_name, '') AS name, pg_catalog.host(r.client_addr) AS address, r.usename::text AS role, r.state, r.sync_state,
    pg_catalog.pg_wal_lsn_diff(
        CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn() ELSE pg_catalog.pg_current_wal_lsn() END, r.replay_lsn
    )::float8 AS replay_lag_bytes,
    extract(epoch FROM r.write_lag)::float8 AS write_lag_seconds, extract(epoch FROM r.flush_lag)::float8 AS flush_lag_seconds,
    extract(epoch FROM r.replay_lag)::float8 AS replay_lag_seconds
FROM pg_catalog.pg_stat_replication AS r
ORDER BY r.application_name, r.pid
LIMIT 1000
