-- Names of roles, for the statements that they ran.
-- privilege: none · cost: one row a role · since: 14
SELECT /* pgadvisor */ r.oid, r.rolname::text AS name FROM pg_catalog.pg_roles AS r LIMIT 10000
