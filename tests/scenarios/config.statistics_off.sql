ALTER SYSTEM SET track_io_timing = on;
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
-- everything is counted
-- expect nothing
ALTER SYSTEM SET track_io_timing = off;
ALTER SYSTEM SET track_activities = off;
ALTER SYSTEM SET compute_query_id = off;
DROP EXTENSION pg_stat_statements;
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
-- expect config.statistics_off on track_io_timing saying pg_test_timing
-- expect config.statistics_off on track_activities saying "severity":"warning"
-- expect config.statistics_off on compute_query_id saying ALTER SYSTEM SET compute_query_id = 'auto'
-- expect config.statistics_off saying CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public
-- expect no config.statistics_off on track_counts
CREATE EXTENSION pg_stat_statements;
ALTER SYSTEM RESET compute_query_id;
ALTER SYSTEM RESET track_activities;
ALTER SYSTEM SET track_io_timing = on;
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
-- look
-- at +11 min
-- expect nothing
-- what is off for the login that looks is not off for the server
-- login stranger
ALTER ROLE stranger SET track_io_timing = off;
-- expect undecided because track_io_timing is set for the advisor's login
-- expect nothing
