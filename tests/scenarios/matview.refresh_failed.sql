CREATE TABLE t (a int);
CREATE MATERIALIZED VIEW m AS SELECT 1 / a AS b FROM t;
-- refresh view = "public.m", every = "1 s", retry_after = "100 ms", retries = 9
-- pass
-- expect nothing
INSERT INTO t VALUES (0);
SELECT pg_sleep(1);
-- pass
-- expect matview.refresh_failed on public.m saying division by zero
-- expect matview.refresh_failed on public.m saying "severity":"warning"
SELECT pg_sleep(1);
-- pass
SELECT pg_sleep(1);
-- pass
-- expect matview.refresh_failed on public.m saying "severity":"critical"
DELETE FROM t;
SELECT pg_sleep(1);
-- pass
-- that it was done is seen, and nothing is waited for
-- expect nothing
