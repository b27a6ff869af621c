-- Settings that only newer versions know, which as start-up options would end the log-in of an older server; and read-only
-- transactions, for sessions of which the driver first asks whether they could write. Also who answers.
-- privilege: none · cost: none · since: 14
SELECT /* pgadvisor */ pg_catalog.set_config(s.name, w.value, false) AS value,
    pg_catalog.pg_postmaster_start_time() AS started_at,
    pg_catalog.pg_is_in_recovery() AS is_standby
FROM pg_catalog.pg_settings AS s
JOIN (VALUES ('transaction_timeout', '40000'), ('restrict_nonsystem_relation_kind', 'foreign-table'),
             ('default_transaction_read_only', 'on')) AS w (name, value)
    ON w.name = s.name
