-- What is planned would become an entry of pg_stat_statements: switched off for this session, where that is allowed.
-- privilege: superuser, or ALTER ROLE … SET · cost: none · since: 14
SELECT /* pgadvisor */ pg_catalog.set_config(s.name, 'none', false) AS value
FROM pg_catalog.pg_settings AS s
WHERE s.name = 'pg_stat_statements.track'
