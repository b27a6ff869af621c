-- Since how many days pg_stat_statements counts.
-- privilege: none · cost: one row · since: 14, extension 1.9
SELECT /* pgadvisor */ (extract(epoch FROM pg_catalog.clock_timestamp() - i.stats_reset) / 86400)::float8 AS days
FROM {schema}.pg_stat_statements_info AS i
