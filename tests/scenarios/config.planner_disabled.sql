ALTER SYSTEM SET enable_partitionwise_join = off;
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
-- that one is off in every new server
-- expect nothing
ALTER SYSTEM SET enable_hashjoin = off;
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
-- expect config.planner_disabled on enable_hashjoin saying ALTER SYSTEM SET enable_hashjoin = 'on'
-- expect no config.planner_disabled on enable_partitionwise_join
-- what is off for the login that looks is not off for the server
-- login stranger
ALTER ROLE stranger SET enable_nestloop = off;
-- expect undecided because enable_nestloop is set for the advisor's login
-- expect no config.planner_disabled on enable_nestloop
ALTER SYSTEM RESET enable_hashjoin;
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
-- look
-- at +11 min
-- expect nothing
