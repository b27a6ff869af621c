-- When pg_stat_statements was reset, and how often it evicted since.
-- privilege: none · cost: one row · since: 14, extension 1.9
SELECT /* pgadvisor */ i.stats_reset AS reset_at, i.dealloc AS evictions FROM {schema}.pg_stat_statements_info AS i
