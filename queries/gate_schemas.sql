-- Which of some schemas ($1) exist and may be used by a role ($2).
-- privilege: none · cost: one row a schema · since: 14
SELECT /* pgadvisor */ n.nspname::text AS name
FROM pg_catalog.pg_namespace AS n
JOIN pg_catalog.pg_roles AS r ON r.rolname::text = $2
WHERE n.nspname::text = ANY ($1) AND pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE')
