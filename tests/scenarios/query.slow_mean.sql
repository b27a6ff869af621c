-- set info_calls = 3
SELECT pg_stat_statements_reset();
SELECT pg_sleep(0.06);
SELECT pg_sleep(0.06);
SELECT pg_sleep(0.06);
-- totals since a reset of a moment ago tell nothing
-- expect skipped because needs two looks
-- at +2 min
-- expect query.slow_mean
-- set info_mean = "2 s"
-- look
-- at +20 min
-- expect nothing
