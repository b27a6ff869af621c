CREATE TABLE t AS SELECT i, repeat('x', 100) AS filler FROM generate_series(1, 5000) AS i;
ANALYZE t;
-- no server tells of its RAM
-- expect undecided because memory = "64 GiB"
-- expect nothing
ALTER SYSTEM SET effective_cache_size = '48MB';
ALTER SYSTEM SET work_mem = '1MB';
ALTER SYSTEM SET maintenance_work_mem = '32MB';
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
-- a quarter, three quarters, 50 connections with 1 MB each, and no large table
-- set least_memory = "64 MiB"
-- declare memory = "64 MiB"
-- expect nothing
ALTER SYSTEM RESET effective_cache_size;
ALTER SYSTEM SET work_mem = '2MB';
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
-- set large_table = "100 kB"
-- expect config.memory_sizing on effective_cache_size saying ALTER SYSTEM SET effective_cache_size = '48MB'
-- expect config.memory_sizing on work_mem saying "severity":"warning"
-- expect config.memory_sizing on maintenance_work_mem saying postgres: public.t
-- expect no config.memory_sizing on shared_buffers
-- set least_shared_buffers_ratio = 0.3
-- expect config.memory_sizing on shared_buffers saying is given on the server's command line
