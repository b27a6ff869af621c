SELECT pg_stat_statements_reset();
CREATE TABLE report (id int);
INSERT INTO report VALUES (1);
SELECT pg_sleep(0.5);
-- what is rare and long is told here where nobody hears of it by query.heavy_rare
SELECT pg_sleep(1.1) FROM report;
SELECT count(*) FROM pg_class;
-- a server that is nearly idle has a costliest statement, too: nothing is said
-- at +2 min
-- expect nothing
-- set minimum_load = 0.001
-- expect query.time_share
-- expect query.time_share saying FROM report
-- expect no query.time_share saying FROM pg_class
-- what only sleeps is no load
-- expect no query.time_share saying SELECT pg_sleep($1)"
-- a login that sees only its own statements cannot tell a share of all
-- login stranger
-- expect skipped because pg_read_all_stats
