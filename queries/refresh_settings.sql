-- What one refresh needs, for its transaction alone; an empty text leaves a setting as the login has it.
-- privilege: none · cost: none · since: 14
SELECT /* pgadvisor */ pg_catalog.set_config(s.name, s.value, true) AS value
FROM (VALUES ('lock_timeout', $1), ('statement_timeout', $2), ('work_mem', $3),
             -- no less than it may be
             ('maintenance_work_mem', CASE WHEN $3 <> '' THEN pg_catalog.concat(greatest(pg_catalog.split_part($3, 'kB', 1)::int8, 1024), 'kB') ELSE '' END),
             ('idle_in_transaction_session_timeout', '5000'),
             ('max_parallel_workers_per_gather', $4)) AS s (name, value)
WHERE s.value <> ''
