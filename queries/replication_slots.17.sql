-- Replication slots, and what they keep.
-- privilege: none (pg_monitor for positions of WAL on a hardened server) · cost: one row a slot · since: 17
SELECT /* pgadvisor */
    s.slot_name::text AS name, s.slot_type = 'logical' AS is_logical, s.plugin::text AS plugin, s.database::text AS database, s.active AS is_active,
    pg_catalog.pg_wal_lsn_diff(
        CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn() ELSE pg_catalog.pg_current_wal_lsn() END, s.restart_lsn
    )::float8 AS retained_bytes,
    s.wal_status, s.safe_wal_size::float8 AS safe_wal_bytes, s.inactive_since AS inactive_since
FROM pg_catalog.pg_replication_slots AS s
ORDER BY s.slot_name
LIMIT 1000
