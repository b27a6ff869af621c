-- Where a primary stands in its WAL; no row on a standby. Not for Aurora, which has no such function without logical decoding.
-- privilege: none · cost: one row · since: 14
SELECT /* pgadvisor */ pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')::float8 AS wal_position_bytes
WHERE NOT pg_catalog.pg_is_in_recovery()
