-- Extensions whose software managed services alone have, as far as it is on this server: by these they show themselves.
-- privilege: none · cost: reads the control file of each extension that is available · since: 14
SELECT /* pgadvisor */ e.name::text AS name
FROM pg_catalog.pg_available_extensions AS e
WHERE e.name IN (
    'apg_plan_mgmt', 'aurora_stat_utils', 'azure', 'azure_ai', 'azure_storage', 'google_vacuum_mgmt',
    'pgaadauth', 'rds_tools')
