CREATE TABLE t (id int PRIMARY KEY, a int);
INSERT INTO t SELECT i, 1 FROM generate_series(1, 10) i;
CREATE INDEX t_a ON t (a);
-- expect nothing
CREATE UNIQUE INDEX CONCURRENTLY t_a_unique ON t (a) -- fails
;
-- expect index.invalid on public.t_a_unique
DROP INDEX t_a_unique;
-- look
-- at +20 min
-- expect nothing
