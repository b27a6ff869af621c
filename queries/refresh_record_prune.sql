-- Forgets old moments, some at a time; the last of each view stays.
-- privilege: SELECT, DELETE on pgadvisor.refresh_run · cost: at most a thousand rows · since: 14
DELETE /* pgadvisor */ FROM pgadvisor.refresh_run AS r
WHERE (r.schema_name, r.view_name, r.due_at) IN (
    SELECT o.schema_name, o.view_name, o.due_at FROM pgadvisor.refresh_run AS o
    WHERE o.started_at < pg_catalog.now() - interval '90 days'
      AND EXISTS (SELECT FROM pgadvisor.refresh_run AS later
                  WHERE later.schema_name = o.schema_name AND later.view_name = o.view_name AND later.due_at > o.due_at)
    LIMIT 1000)
