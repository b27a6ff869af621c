CREATE TABLE t (id int PRIMARY KEY, a int);
INSERT INTO t SELECT i, 1 FROM generate_series(1, 10) i;
CREATE INDEX t_a ON t (a);
-- expect nothing
-- a REINDEX works on one index and has built the other, which is not valid yet
CREATE TABLE r (a int, b int);
CREATE INDEX r_a ON r (a);
CREATE INDEX r_b ON r (b);
-- session A:
BEGIN;
INSERT INTO r VALUES (1, 1);
-- session B:
REINDEX TABLE CONCURRENTLY r -- waits
;
-- expect undecided because being built on the tables
-- expect nothing
-- what failed elsewhere is told meanwhile
-- session C:
CREATE UNIQUE INDEX CONCURRENTLY t_a_unique ON t (a) -- fails
;
-- expect index.invalid on public.t_a_unique
-- nothing came into it, and the rows that it failed on are to be found
-- expect index.invalid saying neither written to nor used
-- expect index.invalid saying GROUP BY 1 HAVING count(*) > 1
-- expect no index.invalid saying Every write to
-- expect no index.invalid on public.r_a_ccnew
-- a login that cannot see which table the build is on says nothing of any, and takes nothing back
-- login stranger
-- look
-- at +20 min
-- expect undecided because not checked: whether invalid indexes are being built
-- expect index.invalid on public.t_a_unique
-- expect no index.invalid on public.r_a_ccnew
-- session A:
COMMIT;
-- session B:
SELECT 1;
DROP INDEX t_a_unique;
-- look
-- at +40 min
-- expect nothing
