CREATE TABLE big (id int);
INSERT INTO big SELECT generate_series(1, 12000);
CREATE TABLE written (id int);
SELECT pg_stat_statements_reset();
SELECT id FROM big; SELECT id FROM big; SELECT id FROM big;
SELECT id FROM big LIMIT 9000; SELECT id FROM big LIMIT 9000; SELECT id FROM big LIMIT 9000;
INSERT INTO written SELECT id FROM big; INSERT INTO written SELECT id FROM big; INSERT INTO written SELECT id FROM big;
-- three calls are no habit
-- at +2 min
-- expect nothing
-- set info_calls = 3
-- expect query.large_result saying SELECT id FROM big
-- what is written is no result, and a page that is not so large is left alone
-- expect no query.large_result saying INSERT
-- expect no query.large_result saying FROM big LIMIT
