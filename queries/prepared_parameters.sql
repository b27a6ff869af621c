-- How many parameters the statement has that is being planned.
-- privilege: none · cost: one row · since: 14
SELECT /* pgadvisor */ pg_catalog.cardinality(p.parameter_types) AS parameters
FROM pg_catalog.pg_prepared_statements AS p
WHERE p.name = 'pgadvisor_planned'
