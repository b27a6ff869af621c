-- Forgets moments of a view that are older than its last ones by a quarter of a year, some at a time.
-- privilege: SELECT, DELETE on pgadvisor.refresh_run · cost: at most a thousand rows of one view · since: 14
DELETE /* pgadvisor */ FROM pgadvisor.refresh_run AS r
WHERE r.schema_name = $1 AND r.view_name = $2
  AND r.due_at IN (SELECT o.due_at FROM pgadvisor.refresh_run AS o
                   WHERE o.schema_name = $1 AND o.view_name = $2 AND o.due_at < $3::timestamptz - interval '90 days'
                   LIMIT 1000)
