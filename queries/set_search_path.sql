-- The search_path of a session, or of its transaction.
-- privilege: none · cost: none · since: 14
SELECT /* pgadvisor */ pg_catalog.set_config('search_path', $1, $2) AS search_path
