CREATE TABLE varying (id int);
CREATE TABLE steady (id int);
INSERT INTO varying VALUES (1);
INSERT INTO steady VALUES (1);
SELECT pg_stat_statements_reset();
SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying; SELECT pg_sleep(0.0) FROM varying;
SELECT pg_sleep(0.3) FROM varying;
SELECT pg_sleep(0.02) FROM steady; SELECT pg_sleep(0.02) FROM steady; SELECT pg_sleep(0.02) FROM steady; SELECT pg_sleep(0.02) FROM steady; SELECT pg_sleep(0.02) FROM steady; SELECT pg_sleep(0.02) FROM steady; SELECT pg_sleep(0.02) FROM steady; SELECT pg_sleep(0.02) FROM steady; SELECT pg_sleep(0.02) FROM steady; SELECT pg_sleep(0.02) FROM steady;
-- at +2 min
-- expect nothing
-- set minimum_load = 0.0001
-- set min_calls = 10
-- the longest call took less than a second
-- expect nothing
-- set min_longest = "200 ms"
-- expect query.unstable saying FROM varying
-- expect query.unstable saying locks looked at first
-- expect no query.unstable saying FROM steady
-- somebody waits for a lock
-- session A:
SELECT pg_advisory_lock(1);
-- session B:
SELECT pg_advisory_lock(1) -- waits
;
-- session main:
-- look
-- expect query.unstable saying not checked: whether it is locks
-- session A:
SELECT pg_advisory_unlock(1);
-- session B:
SELECT pg_advisory_unlock(1);
