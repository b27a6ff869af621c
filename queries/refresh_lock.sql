-- One refresher at a time for each view, as long as its transaction lasts.
-- privilege: none · cost: one entry in the table of locks · since: 14
SELECT /* pgadvisor */ pg_catalog.pg_try_advisory_xact_lock(1885823332, $1) AS is_mine
