CREATE TABLE t (id int PRIMARY KEY, a int, b text);
CREATE INDEX t_a ON t (a);
CREATE INDEX t_a_desc ON t (a DESC);
CREATE INDEX t_a_part ON t (a) WHERE b IS NULL;
CREATE INDEX t_a_part2 ON t (a) WHERE b IS NOT NULL;
CREATE INDEX t_b ON t (b);
CREATE INDEX t_b_pattern ON t (b text_pattern_ops);
CREATE INDEX t_lower ON t (lower(b));
CREATE INDEX t_a_b ON t (a) INCLUDE (b);
-- options of the index and of an operator class that decide what it answers
CREATE TABLE d (v tsvector, n int);
CREATE INDEX d_n ON d USING brin (n);
CREATE INDEX d_n_fine ON d USING brin (n) WITH (pages_per_range = 4);
CREATE INDEX d_v ON d USING gist (v);
CREATE INDEX d_v_long ON d USING gist (v tsvector_ops (siglen = 500));
-- ON CONFLICT needs the immediate one, the constraint the other
CREATE TABLE k (b int NOT NULL, c int NOT NULL);
CREATE UNIQUE INDEX k_b_now ON k (b);
ALTER TABLE k ADD CONSTRAINT k_b_later UNIQUE (b) DEFERRABLE;
-- a foreign key points at one, a constraint is backed by the other
CREATE UNIQUE INDEX k_c ON k (c);
CREATE TABLE r (c int REFERENCES k (c));
ALTER TABLE k ADD CONSTRAINT k_c_too UNIQUE (c);
-- a foreign key points at the one, the other is the primary key or the replica identity
CREATE TABLE pair (a int NOT NULL CONSTRAINT pair_u UNIQUE);
CREATE TABLE refers_to_pair (a int REFERENCES pair (a));
ALTER TABLE pair ADD PRIMARY KEY (a);
CREATE TABLE identified (a int PRIMARY KEY);
ALTER TABLE identified ADD CONSTRAINT identified_u UNIQUE (a);
ALTER TABLE identified REPLICA IDENTITY USING INDEX identified_u;
-- expect nothing
CREATE INDEX "T ""again""" ON t (a);
-- expect index.duplicate on public.t_a
DROP INDEX t_a;
CREATE INDEX t_lower_too ON t (lower(b));
-- expect index.duplicate on public.t_lower_too
CREATE INDEX t_id ON t (id);
-- look
-- expect index.duplicate on public.t_id
-- how full its pages are changes no answer
CREATE INDEX t_b_loose ON t (b) WITH (fillfactor = 50);
-- expect index.duplicate on public.t_b_loose
-- marked for CLUSTER, and still the other is the one that keeps rows unique
CREATE TABLE u (a int NOT NULL);
CREATE INDEX u_a ON u (a);
CLUSTER u USING u_a;
CREATE UNIQUE INDEX u_a_unique ON u (a);
-- expect index.duplicate on public.u_a saying ALTER TABLE public.u CLUSTER ON u_a_unique
-- expect no index.duplicate on public.u_a_unique
-- two constraints that ask the same
CREATE TABLE twice (a int PRIMARY KEY, "B" int);
ALTER TABLE twice ADD CONSTRAINT twice_u UNIQUE (a);
ALTER TABLE twice ADD CONSTRAINT twice_b UNIQUE ("B");
ALTER TABLE twice ADD CONSTRAINT twice_b_too UNIQUE ("B");
-- expect index.duplicate on public.twice_u saying ALTER TABLE public.twice DROP CONSTRAINT twice_u
-- expect index.duplicate on public.twice_b_too saying ALTER TABLE public.twice ADD CONSTRAINT twice_b_too UNIQUE USING INDEX twice_b_too
-- expect no index.duplicate on public.twice_pkey
-- expect no index.duplicate on public.twice_b
ALTER TABLE public.twice DROP CONSTRAINT twice_b_too;
CREATE UNIQUE INDEX CONCURRENTLY twice_b_too ON public.twice USING btree ("B");
ALTER TABLE public.twice ADD CONSTRAINT twice_b_too UNIQUE USING INDEX twice_b_too;
-- expect index.duplicate on public.twice_b_too
-- the index of a partitioned table takes what its partitions take: two pages each
CREATE TABLE p (a int, b int) PARTITION BY LIST (b);
CREATE TABLE p_1 PARTITION OF p FOR VALUES IN (1);
CREATE TABLE p_2 PARTITION OF p FOR VALUES IN (2);
INSERT INTO p VALUES (1, 1), (2, 2);
CREATE INDEX p_a ON p (a);
CREATE INDEX p_b ON p (b);
CREATE INDEX p_a_too ON p (a);
-- expect index.duplicate on public.p_a_too saying costs 32.0 KiB
-- expect no index.duplicate on public.p_b
-- a partition's own index beside the one that is attached
CREATE INDEX p_1_own ON p_1 (b);
CREATE INDEX p_1_other ON p_1 (a, b);
-- expect index.duplicate on public.p_1_own saying DROP INDEX CONCURRENTLY public.p_1_own
-- expect no index.duplicate on public.p_1_b_idx
-- expect no index.duplicate on public.p_1_other
