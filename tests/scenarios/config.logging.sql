ALTER SYSTEM SET log_min_duration_statement = '5s';
ALTER SYSTEM SET log_checkpoints = on;
ALTER SYSTEM SET log_lock_waits = on;
ALTER SYSTEM SET log_autovacuum_min_duration = '1h';
ALTER SYSTEM SET log_temp_files = 0;
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
-- other values than those that are advised are somebody's choice
-- expect nothing
ALTER SYSTEM SET log_min_duration_statement = -1;
ALTER SYSTEM SET log_lock_waits = off;
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
-- expect config.logging saying The log leaves out: log_min_duration_statement, log_lock_waits"
-- expect config.logging saying ALTER SYSTEM SET log_min_duration_statement = '1s'
-- expect no config.logging saying log_checkpoints
-- set ignore_settings = ["log_min_*", "log_lock_waits"]
-- look
-- at +11 min
-- expect nothing
