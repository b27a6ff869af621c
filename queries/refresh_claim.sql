-- Takes one due moment of a view: no row comes back if it is taken already, or if somebody refreshed the view after this was
-- planned. It stays only if the refresh is committed.
-- privilege: SELECT, INSERT on pgadvisor.refresh_run · cost: one row · since: 14
INSERT /* pgadvisor */ INTO pgadvisor.refresh_run (schema_name, view_name, due_at, started_at, mode)
SELECT $1, $2, $3, $4, $6
WHERE NOT EXISTS (SELECT FROM pgadvisor.refresh_run AS r
                  WHERE r.schema_name = $1 AND r.view_name = $2 AND r.started_at > $5)
ON CONFLICT (schema_name, view_name, due_at) DO NOTHING
RETURNING started_at
