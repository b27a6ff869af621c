CREATE TABLE report (id int);
CREATE TABLE page (id int);
INSERT INTO report VALUES (1);
INSERT INTO page VALUES (1);
SELECT pg_stat_statements_reset();
SELECT pg_sleep(0.3) FROM report;
UPDATE report SET id = 2 WHERE pg_sleep(0.3) IS NOT NULL;
SELECT pg_sleep(0.05) FROM page; SELECT pg_sleep(0.05) FROM page; SELECT pg_sleep(0.05) FROM page; SELECT pg_sleep(0.05) FROM page;
-- a server that is nearly idle has statements with a large share, too
-- at +2 min
-- expect nothing
-- set minimum_load = 0.0001
-- no call takes a second
-- expect nothing
-- set min_mean = "40 ms"
-- set max_calls = 4
-- expect query.heavy_rare saying FROM report
-- what writes is told, too, though no view could keep what it does
-- expect query.heavy_rare saying UPDATE report
-- what is called four times is not rare any more
-- expect no query.heavy_rare saying FROM page
-- login stranger
-- expect skipped because pg_read_all_stats
