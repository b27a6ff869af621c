SELECT pg_stat_reset();
CREATE TABLE t (id int PRIMARY KEY, a int, b int, c int, d int UNIQUE);
CREATE INDEX t_a ON t (a);
CREATE INDEX t_b ON t (b);
CREATE INDEX t_c ON t (c);
INSERT INTO t SELECT i, i, i, i, i FROM generate_series(1, 1000) i;
CREATE TABLE customer (id int PRIMARY KEY);
INSERT INTO customer VALUES (1);
CREATE TABLE visits (id int PRIMARY KEY, customer int REFERENCES customer);
CREATE INDEX visits_customer ON visits (customer);
ANALYZE;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT count(*) FROM t WHERE a = 7;
SELECT count(*) FROM t WHERE d = 7;
SELECT count(*) FROM visits WHERE customer = 1;
DO $$ BEGIN FOR i IN 1..25 LOOP PERFORM count(*) FROM t WHERE b = i; END LOOP; END $$;
-- young statistics: no finding, but no silence either
-- expect skipped because immature
-- expect nothing
-- two thousand entries: too few for 25 scans, and t_c has none, which is index.unused's
INSERT INTO t SELECT i, i, i, i, i FROM generate_series(1001, 3000) i;
INSERT INTO visits SELECT i, 1 FROM generate_series(1, 2000) i;
-- at +36 days
-- expect index.rarely_used on public.t_a
-- expect no index.rarely_used on public.t_b
-- expect no index.rarely_used on public.t_c
-- expect no index.rarely_used on public.t_d_key
-- expect no index.rarely_used on public.visits_customer
DROP INDEX t_a;
-- look
-- at +37 days
-- expect nothing
