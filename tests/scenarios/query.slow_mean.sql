-- set info_calls = 3
DROP EXTENSION pg_stat_statements;
CREATE SCHEMA "Odd schema";
CREATE EXTENSION pg_stat_statements SCHEMA "Odd schema";
SELECT "Odd schema".pg_stat_statements_reset();
SELECT pg_sleep(0.06);
SELECT pg_sleep(0.06);
SELECT pg_sleep(0.06);
-- totals since a reset of a moment ago tell nothing
-- expect skipped because needs two looks
-- at +2 min
-- expect query.slow_mean saying may have been over by then
-- however slow it was: nobody looked while it ran
-- set warning_calls = 3
-- set warning_mean = "50 ms"
-- expect query.slow_mean saying "severity":"info"
-- expect no query.slow_mean saying "severity":"warning"
-- set ignore_statements = ["select PG_SLEEP(*"]
-- look
-- at +20 min
-- the first window is still filling: that a statement is not seen in it says nothing
-- expect query.slow_mean
-- set ignore_statements = []
SELECT pg_sleep(0.06);
SELECT pg_sleep(0.06);
SELECT pg_sleep(0.06);
-- at +26 min
-- expect query.slow_mean saying "severity":"warning"
-- set ignore_statements = ["select PG_SLEEP(*"]
-- at +33 min
-- look
-- at +45 min
-- expect nothing
