-- Settings that only newer versions know: given as start-up options they would end the log-in of an older server.
-- privilege: none · cost: none · since: 14
SELECT /* pgadvisor */ pg_catalog.set_config(s.name, '40000', false) AS value
FROM pg_catalog.pg_settings AS s
WHERE s.name = 'transaction_timeout'
