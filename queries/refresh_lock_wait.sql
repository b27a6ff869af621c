-- The same, waiting for whoever has it.
-- privilege: none · cost: one entry in the table of locks · since: 14
SELECT /* pgadvisor */ pg_catalog.pg_advisory_xact_lock(1885823332, $1) IS NOT NULL AS is_mine
