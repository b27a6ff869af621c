CREATE TABLE t (a int);
INSERT INTO t VALUES (1);
CREATE MATERIALIZED VIEW slow AS SELECT a, pg_sleep(0.9)::text AS s FROM t;
CREATE MATERIALIZED VIEW fast AS SELECT a, random() AS r FROM t;
-- refresh view = "public.*", every = "1 s"
-- pass
SELECT pg_sleep(1);
-- pass
-- two refreshes are not enough to know
-- expect nothing
SELECT pg_sleep(1);
-- pass
-- expect matview.overrun on public.slow
-- expect no matview.overrun on public.fast
