-- What one refresh needs, for its transaction alone; an empty text leaves a setting as the login has it.
-- privilege: none · cost: none · since: 14
SELECT /* pgadvisor */ pg_catalog.set_config(s.name, s.value, true) AS value
FROM (VALUES ('lock_timeout', $1), ('statement_timeout', $2), ('work_mem', $3), ('maintenance_work_mem', $3), ('idle_in_transaction_session_timeout', '5000'),
             ('max_parallel_workers_per_gather', $4)) AS s (name, value)
WHERE s.value <> ''
