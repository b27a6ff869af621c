-- Which of these names ($2) are taken in which of these schemas ($1).
-- privilege: none · cost: a row a name · since: 14
SELECT /* pgadvisor */ n.nspname::text AS schema, c.relname::text AS name
FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS a (schema, name)
JOIN pg_catalog.pg_namespace AS n ON n.nspname = a.schema
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = a.name
