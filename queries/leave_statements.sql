-- What is planned would become an entry of pg_stat_statements: switched off for this session, where that is allowed. What is not
-- allowed is not tried: the server would write an error into its log for each session.
-- privilege: superuser, or ALTER ROLE … SET beforehand · cost: none · since: 14
SELECT /* pgadvisor */ pg_catalog.set_config(s.name, 'none', false) AS value
FROM pg_catalog.pg_settings AS s
WHERE s.name = 'pg_stat_statements.track' AND pg_catalog.current_setting('is_superuser') = 'on'
