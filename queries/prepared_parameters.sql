-- How many parameters the statement has that is being planned. It runs in the search_path of the statement's user, in which
-- a bare operator could be anybody's.
-- privilege: none · cost: one row · since: 14
SELECT /* pgadvisor */ pg_catalog.cardinality(p.parameter_types) AS parameters
FROM pg_catalog.pg_prepared_statements AS p
WHERE p.name OPERATOR(pg_catalog.=) 'pgadvisor_planned'
