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
-- expect query.slow_mean
-- set ignore_statements = ["select PG_SLEEP(*"]
-- look
-- at +20 min
-- the first window is still filling: that a statement is not seen in it says nothing
-- expect query.slow_mean
-- at +33 min
-- look
-- at +45 min
-- expect nothing
