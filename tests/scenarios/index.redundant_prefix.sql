SELECT pg_stat_reset();
CREATE TABLE t (id int PRIMARY KEY, a int, b int, c text);
INSERT INTO t SELECT i, i % 100, i % 50, i::text FROM generate_series(1, 1000) i;
CREATE INDEX t_a_b ON t (a, b);
CREATE INDEX t_b ON t (b);
CREATE INDEX t_a_desc ON t (a DESC);
CREATE INDEX t_a_part ON t (a) WHERE c IS NULL;
CREATE INDEX t_a_with_c ON t (a) INCLUDE (c);
CREATE INDEX t_c_pattern ON t (c text_pattern_ops);
CREATE INDEX t_c_b ON t (c, b);
CREATE INDEX t_a_hash ON t USING hash (a);
-- what enforces something, or is the same as another one, is not its business
CREATE TABLE k (x int NOT NULL, y int NOT NULL, UNIQUE (x), UNIQUE (x, y));
CREATE INDEX k_y ON k (y);
CREATE INDEX k_y_too ON k (y);
-- marked for CLUSTER
CREATE TABLE m (a int, b int);
CREATE INDEX m_a ON m (a);
CREATE INDEX m_a_b ON m (a, b);
ALTER TABLE m CLUSTER ON m_a;
ANALYZE;
-- expect nothing
CREATE INDEX "T ""a""" ON t (a);
-- expect index.redundant_prefix on public.T "a" saying "longer":"public.t_a_b"
DROP INDEX "T ""a""";
-- of nested ones the longest stays, and it supports the same foreign key
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent, x int, y int);
CREATE INDEX child_p ON child (parent);
CREATE INDEX child_p_x ON child (parent, x);
CREATE INDEX child_p_x_y ON child (parent, x, y);
-- expect index.redundant_prefix on public.child_p saying "longer":"public.child_p_x_y"
-- expect index.redundant_prefix on public.child_p_x saying "longer":"public.child_p_x_y"
-- expect no index.redundant_prefix on public.child_p_x_y
DROP TABLE child;
-- of a partitioned table it is told once
CREATE TABLE p (a int, b int) PARTITION BY RANGE (a);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (100);
CREATE INDEX p_a ON p (a);
CREATE INDEX p_a_b ON p (a, b);
-- expect index.redundant_prefix on public.p_a saying CREATE INDEX p_a ON public.p USING btree (a)
-- expect no index.redundant_prefix on public.p_1_a_idx
DROP TABLE p;
CREATE INDEX t_a ON t (a);
-- expect index.redundant_prefix on public.t_a saying DROP INDEX CONCURRENTLY public.t_a
-- while nobody uses the longer one, it may be the one to go
-- at +8 days
-- expect undecided because have not been used for 7 days
-- expect index.redundant_prefix on public.t_a
SET enable_seqscan = off;
SELECT * FROM t WHERE a = 7 AND b = 7;
-- expect index.redundant_prefix on public.t_a
DROP INDEX t_a;
-- look
-- at +9 days
-- expect nothing
