-- work_mem that ALTER ROLE and ALTER DATABASE give to sessions, as it was written; 0 is every role, or every database. What is given
-- to all roles in all databases everybody sees in pg_settings.
-- privilege: none · cost: one pass over pg_db_role_setting · since: 14
SELECT /* pgadvisor */ s.setrole AS role_oid, s.setdatabase AS database_oid, pg_catalog.substr(c.setting, 10) AS work_mem
FROM pg_catalog.pg_db_role_setting AS s
CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS c (setting)
WHERE c.setting LIKE 'work\_mem=%' AND (s.setrole <> 0 OR s.setdatabase <> 0)
LIMIT $1
