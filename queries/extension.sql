-- Where pg_stat_statements is installed in this database, and as which version.
-- privilege: none · cost: one row · since: 14
SELECT /* pgadvisor */ n.nspname::text AS schema, e.extversion AS version,
    pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS may_use
FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'
