-- The server as a whole, by its own clock.
-- privilege: none · cost: one row · since: 14
SELECT /* pgadvisor */
    pg_catalog.clock_timestamp() AS at,
    pg_catalog.current_setting('server_version_num')::int4 AS version_num,
    pg_catalog.pg_postmaster_start_time() AS started_at,
    pg_catalog.pg_is_in_recovery() AS is_standby,
    -- a crash empties all statistics and shows only here; so does a reset of these alone
    greatest(v.bgwriter, v.wal) AS shared_statistics_reset_at,
    -- only a crash (and initdb) gives views that are reset apart the same instant. pg_stat_reset_shared() of 17 comes near: its
    -- first and its last are compared, between which it takes some microseconds
    CASE WHEN v.wal IN (v.bgwriter, v.archiver) THEN v.wal WHEN v.slru IN (v.bgwriter, v.archiver) THEN v.slru END AS relations_counted_since,
    (SELECT count(*) FROM pg_catalog.pg_stat_replication AS r) AS standbys,
    -- 64 bits wide, so that it only grows; a standby knows it, too
    pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::int8 AS next_transaction_id,
    current_user::text AS login
FROM (
    SELECT
        (SELECT b.stats_reset FROM pg_catalog.pg_stat_bgwriter AS b) AS bgwriter,
        (SELECT w.stats_reset FROM pg_catalog.pg_stat_wal AS w) AS wal,
        (SELECT a.stats_reset FROM pg_catalog.pg_stat_archiver AS a) AS archiver,
        (SELECT pg_catalog.min(s.stats_reset) FROM pg_catalog.pg_stat_slru AS s) AS slru
) AS v
