-- expect nothing
-- what is off for the login that looks is not off for the server
-- login stranger
ALTER ROLE stranger SET track_counts = off;
-- expect skipped because track_counts is set for the advisor's login, database or session (source: user)
-- expect nothing
-- login another
ALTER SYSTEM SET autovacuum = off;
SELECT pg_reload_conf();
SELECT pg_sleep(0.5);
-- expect vacuum.autovacuum_off on autovacuum
