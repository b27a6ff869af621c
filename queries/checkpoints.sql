-- Checkpoints since they are counted; what a standby does instead (restartpoints) is not among them.
-- privilege: none · cost: one row · since: 14
SELECT /* pgadvisor */
    b.checkpoints_timed AS timed, b.checkpoints_req AS requested, b.buffers_checkpoint AS blocks_written, b.stats_reset AS since,
    pg_catalog.clock_timestamp() AS at
FROM pg_catalog.pg_stat_bgwriter AS b
