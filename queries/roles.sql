-- Names of roles, for the statements that they ran; where there are too many, of those that were there first, and always the same.
-- privilege: none · cost: one row a role · since: 14
SELECT /* pgadvisor */ r.oid, r.rolname::text AS name FROM pg_catalog.pg_roles AS r ORDER BY r.oid LIMIT $1
