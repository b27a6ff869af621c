-- When the refresh of a moment ended.
-- privilege: UPDATE on pgadvisor.refresh_run · cost: one row · since: 14
UPDATE /* pgadvisor */ pgadvisor.refresh_run
SET ended_at = pg_catalog.clock_timestamp()
WHERE schema_name = $1 AND view_name = $2 AND due_at = $3
