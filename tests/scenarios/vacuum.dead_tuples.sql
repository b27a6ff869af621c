CREATE TABLE t (id int PRIMARY KEY, a int);
INSERT INTO t SELECT i, 1 FROM generate_series(1, 20000) i;
ANALYZE t;
UPDATE t SET a = 2 WHERE id <= 7000;
-- look
-- at +61 min
-- 7 000 dead are not twice the threshold of 4 050
-- expect nothing
-- a writer between two statements has no snapshot, and holds back all the same
-- session A:
BEGIN;
SELECT pg_current_xact_id();
-- session main:
UPDATE t SET a = 3 WHERE id > 10000 AND id <= 17000;
-- look
-- it has to last an hour
-- expect nothing
-- at +130 min
-- expect vacuum.dead_tuples on public.t saying First look at the session client backend as postgres
-- session A:
COMMIT;
-- numbers that were lost are not dead rows that are gone
-- session main:
SELECT pg_stat_reset();
-- look
-- at +150 min
-- expect undecided because neither VACUUM nor ANALYZE has counted them
-- expect vacuum.dead_tuples on public.t
VACUUM t;
-- look
-- at +170 min
-- expect nothing
