-- Settings that only newer versions know: given as start-up options they would end the log-in of an older server.
-- privilege: none · cost: none · since: 14
SELECT /* pgadvisor */ pg_catalog.set_config(s.name, w.value, false) AS value
FROM pg_catalog.pg_settings AS s
JOIN (VALUES ('transaction_timeout', '40000'), ('restrict_nonsystem_relation_kind', 'foreign-table')) AS w (name, value)
    ON w.name = s.name
