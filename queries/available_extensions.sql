-- Extensions, as far as their software is on this server: those that managed services alone have, by which they show
-- themselves, and the one that rules advise.
-- privilege: none · cost: reads the control file of each extension that is available · since: 14
SELECT /* pgadvisor */ e.name::text AS name
FROM pg_catalog.pg_available_extensions AS e
WHERE e.name IN (
    'apg_plan_mgmt', 'aurora_stat_utils', 'azure', 'azure_ai', 'azure_storage', 'google_vacuum_mgmt',
    'pgaadauth', 'rds_tools', 'pg_trgm')
