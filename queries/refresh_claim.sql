-- Takes one due moment of a view: no row comes back if it is taken already. It stays only if the refresh is committed.
-- privilege: INSERT on pgadvisor.refresh_run · cost: one row · since: 14
INSERT /* pgadvisor */ INTO pgadvisor.refresh_run (schema_name, view_name, due_at, started_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (schema_name, view_name, due_at) DO NOTHING
RETURNING started_at
