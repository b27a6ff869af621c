-- What the login may see.
-- privilege: none · cost: one row · since: 14
SELECT /* pgadvisor */
    r.rolsuper AS is_superuser,
    pg_catalog.pg_has_role(r.oid, 'pg_read_all_stats', 'USAGE') AS may_read_all_stats,
    pg_catalog.pg_has_role(r.oid, 'pg_read_all_settings', 'USAGE') AS may_read_all_settings
FROM pg_catalog.pg_roles AS r
WHERE r.rolname = current_user
