-- the servers of these tests run without fsync
-- expect config.durability_off on fsync saying is given on the server's command line
-- expect no config.durability_off on full_page_writes
-- expect no config.durability_off on synchronous_commit
ALTER SYSTEM SET full_page_writes = off;
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
-- expect config.durability_off on full_page_writes saying ALTER SYSTEM SET full_page_writes = 'on'
-- what is off for the login that looks is not off for the server
-- login stranger
ALTER ROLE stranger SET synchronous_commit = off;
-- expect undecided because synchronous_commit is set for the advisor's login
-- expect no config.durability_off on synchronous_commit
-- nothing of that matters where data may be lost
-- declare throw_away = true
-- look
-- at +11 min
-- expect nothing
