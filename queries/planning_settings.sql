-- What planning one statement needs, for one transaction: its user's search_path, a plan for all values, a time.
-- privilege: none · cost: none · since: 14
SELECT /* pgadvisor */
    pg_catalog.set_config('search_path', $1, true) AS search_path,
    pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true) AS plan_cache_mode,
    pg_catalog.set_config('statement_timeout', $2, true) AS statement_timeout
