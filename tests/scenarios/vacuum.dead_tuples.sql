CREATE TABLE t (id int PRIMARY KEY, a int);
INSERT INTO t SELECT i, 1 FROM generate_series(1, 20000) i;
ANALYZE t;
UPDATE t SET a = 2 WHERE id <= 7000;
-- look
-- at +61 min
-- 7 000 dead are not twice the threshold of 4 050
-- expect nothing
UPDATE t SET a = 3 WHERE id > 10000 AND id <= 17000;
-- look
-- it has to last an hour
-- expect nothing
-- at +130 min
-- expect vacuum.dead_tuples on public.t
VACUUM t;
-- look
-- at +150 min
-- expect nothing
