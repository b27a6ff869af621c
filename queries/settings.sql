-- Settings that rules read.
-- privilege: none (pg_read_all_settings for some) · cost: pg_settings once · since: 14
SELECT /* pgadvisor */ s.name, s.setting, s.unit, s.source
FROM pg_catalog.pg_settings AS s
WHERE s.name LIKE 'autovacuum%' OR s.name LIKE 'vacuum%' OR s.name LIKE 'track%' OR s.name LIKE 'pg_stat_statements.%'
   OR s.name IN ('block_size', 'server_version', 'shared_preload_libraries', 'server_encoding')
