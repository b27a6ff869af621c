-- What this session counted is seen by others at once, not up to ten seconds later.
-- privilege: none · cost: none · since: 15
SELECT /* pgadvisor */ pg_catalog.pg_stat_force_next_flush() IS NOT NULL AS is_flushed
