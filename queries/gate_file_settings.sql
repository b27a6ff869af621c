-- The search_path of the configuration file: our own session has its own, which hides it.
-- privilege: pg_read_all_settings (15), superuser (14) · cost: reads the configuration files · since: 14
SELECT /* pgadvisor */ f.setting
FROM pg_catalog.pg_file_settings AS f
WHERE f.name = 'search_path' AND f.applied
ORDER BY f.seqno DESC
LIMIT 1
