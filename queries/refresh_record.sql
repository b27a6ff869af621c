-- The last refreshes of each view by anybody who uses the table of runs.
-- privilege: SELECT on pgadvisor.refresh_run · cost: one pass over a table of some thousand rows · since: 14
SELECT /* pgadvisor */ r.schema_name, r.view_name, max(r.due_at) AS due_at, max(r.started_at) AS started_at
FROM pgadvisor.refresh_run AS r
GROUP BY r.schema_name, r.view_name
