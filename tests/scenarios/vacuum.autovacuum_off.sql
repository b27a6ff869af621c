-- expect nothing
ALTER SYSTEM SET autovacuum = off;
SELECT pg_reload_conf();
SELECT pg_sleep(0.5);
-- expect vacuum.autovacuum_off on autovacuum
