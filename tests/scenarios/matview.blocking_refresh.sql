CREATE TABLE t (a int);
CREATE MATERIALIZED VIEW m AS SELECT a FROM t;
-- set min_waited = "500 ms"
-- refresh view = "public.m", every = "1 s", lock_timeout = "10 s", plain_limit = "10 s", skip_unchanged = false
-- pass
-- expect nothing
-- a reader that holds the view, a refresh that waits for it, and a reader that waits behind that
-- session A:
BEGIN;
SELECT * FROM m;
-- session main:
SELECT pg_sleep(1);
-- pass in background
-- session B:
SELECT * FROM m -- waits
;
-- session A:
SELECT pg_sleep(1.5);
COMMIT;
-- passed
-- expect matview.blocking_refresh on public.m
