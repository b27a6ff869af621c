-- The search_path that ALTER ROLE and ALTER DATABASE give to a role ($1) in this database, the nearest first; and whether that of
-- the configuration file may be read, so that nothing is tried that would leave an error in the server's log.
-- privilege: none · cost: one pass over pg_db_role_setting · since: 14
SELECT /* pgadvisor */
    (SELECT pg_catalog.substr(c.setting, 13)
     FROM pg_catalog.pg_db_role_setting AS s
     CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS c (setting)
     WHERE c.setting LIKE 'search\_path=%'
       AND s.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()))
       AND (s.setrole = 0 OR s.setrole = (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname::text = $1))
     ORDER BY s.setrole <> 0 DESC, s.setdatabase <> 0 DESC
     LIMIT 1) AS setting,
    (SELECT g.boot_val FROM pg_catalog.pg_settings AS g WHERE g.name = 'search_path') AS boot_value,
    coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass('pg_catalog.pg_file_settings'), 'SELECT')
             AND pg_catalog.has_function_privilege(pg_catalog.to_regprocedure('pg_catalog.pg_show_all_file_settings()'), 'EXECUTE'),
             false) AS may_read_files
