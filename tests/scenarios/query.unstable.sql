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
-- expect query.unstable saying not checked: whether it is locks that make the difference
-- expect query.unstable saying one plan for values that need two
-- expect no query.unstable saying FROM steady
-- it waits for a row whenever it is seen
-- session main:
CREATE TABLE fought (id int);
INSERT INTO fought VALUES (1);
UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1; UPDATE fought SET id = 1;
-- session A:
BEGIN;
SELECT id FROM fought FOR UPDATE;
-- session B:
UPDATE fought SET id = 2 -- waits
;
-- session main:
SELECT pg_sleep(0.4);
-- sample 6
-- session A:
COMMIT;
-- session B:
SELECT 1;
-- expect query.unstable saying UPDATE fought
-- expect query.unstable saying was waiting for locks
