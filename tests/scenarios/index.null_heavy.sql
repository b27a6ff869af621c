-- set min_size = "10 MB"
-- half full and less: a, b and c are NULL in three rows of five, few is in two
CREATE TABLE t (id int PRIMARY KEY, a text, b text, c text, few text);
INSERT INTO t SELECT i,
    CASE WHEN i % 5 < 2 THEN repeat('a', 120) || i END, CASE WHEN i % 5 < 2 THEN repeat('b', 120) || i END,
    CASE WHEN i % 5 < 2 THEN repeat('c', 120) || i END, CASE WHEN i % 5 < 3 THEN repeat('d', 120) || i END
    FROM generate_series(1, 200000) i;
CREATE INDEX t_a ON t (a COLLATE "C" DESC) INCLUDE (id) WITH (fillfactor = 80);
CREATE INDEX t_a_id ON t (a, id);
CREATE INDEX t_a_some ON t (a) WHERE a IS NOT NULL;
CREATE INDEX t_b ON t (b);
CREATE INDEX t_few ON t (few);
CREATE UNIQUE INDEX t_c ON t (c);
-- who looks for NULLs in the table above looks for them here
CREATE TABLE u (id int, e text);
CREATE TABLE u_below () INHERITS (u);
INSERT INTO u_below SELECT i, CASE WHEN i % 5 < 2 THEN repeat('e', 120) || i END FROM generate_series(1, 200000) i;
CREATE INDEX u_below_e ON u_below (e);
-- too small
CREATE TABLE small (id int PRIMARY KEY, a text);
INSERT INTO small SELECT i, NULL FROM generate_series(1, 1000) i;
CREATE INDEX small_a ON small (a);
-- expect undecided because never analyzed
-- expect nothing
ANALYZE;
SELECT pg_stat_statements_reset();
-- expect skipped because needs two looks
SELECT count(*) FROM t WHERE a COLLATE "C" = 'x';
SELECT count(*) FROM t WHERE b IS NULL;
SELECT count(*) FROM u WHERE e IS NULL;
-- at +2 h
-- a day must pass, in which somebody may look for the NULLs
-- expect nothing
SELECT count(*) FROM t WHERE b IS NULL;
SELECT count(*) FROM u WHERE e IS NULL;
-- at +27 h
-- expect index.null_heavy on public.t_a saying CREATE INDEX CONCURRENTLY t_a_not_null ON public.t USING btree (
-- expect index.null_heavy on public.t_a saying WHERE a IS NOT NULL
-- expect index.null_heavy on public.t_a saying INCLUDE (id)
-- expect no index.null_heavy on public.t_a_id
-- expect no index.null_heavy on public.t_a_some
-- expect no index.null_heavy on public.t_b
-- expect no index.null_heavy on public.t_few
-- expect no index.null_heavy on public.t_c
-- expect no index.null_heavy on public.u_below_e
-- expect no index.null_heavy on public.small_a
-- who sorts by it reads the NULLs
SELECT id FROM t ORDER BY a LIMIT 3;
SELECT count(*) FROM t WHERE b IS NULL;
SELECT count(*) FROM u WHERE e IS NULL;
-- at +28 h
-- look
SELECT id FROM t ORDER BY a LIMIT 3;
SELECT count(*) FROM t WHERE b IS NULL;
SELECT count(*) FROM u WHERE e IS NULL;
-- at +29 h
-- expect nothing
-- of small ones no statistics are read
-- set min_size = "1 kB"
-- expect undecided because smaller than 10 MB
-- set min_size = "10 MB"
-- a login without SELECT sees nothing of pg_stats
-- login stranger
-- expect skipped because the login stranger may not read the statistics of columns of public.t
