-- Checkpoints since they are counted; what a standby does instead (restartpoints) is not among them.
-- privilege: none · cost: one row · since: 17
SELECT /* pgadvisor */
    c.num_timed AS timed, c.num_requested AS requested, c.buffers_written AS blocks_written, c.stats_reset AS since,
    pg_catalog.clock_timestamp() AS at
FROM pg_catalog.pg_stat_checkpointer AS c
