-- The search_path that a session has as its login's own.
-- privilege: none · cost: none · since: 14
SELECT /* pgadvisor */ pg_catalog.current_setting('search_path') AS search_path
