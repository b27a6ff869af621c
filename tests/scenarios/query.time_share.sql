SELECT pg_stat_statements_reset();
SELECT pg_sleep(0.5);
SELECT count(*) FROM pg_class;
-- a server that is nearly idle has a costliest statement, too: nothing is said
-- at +2 min
-- expect nothing
-- set minimum_load = 0.001
-- expect query.time_share
-- a login that sees only its own statements cannot tell a share of all
-- login stranger
-- expect skipped because pg_read_all_stats
