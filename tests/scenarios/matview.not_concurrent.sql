CREATE TABLE t (a int, b int);
INSERT INTO t SELECT i % 10, i FROM generate_series(1, 100) AS i;
CREATE MATERIALIZED VIEW m AS SELECT a, sum(b) AS b FROM t GROUP BY a;
CREATE MATERIALIZED VIEW opaque AS SELECT a, b FROM t;
CREATE MATERIALIZED VIEW safe AS SELECT a, sum(b) AS b FROM t GROUP BY a;
CREATE UNIQUE INDEX ON safe (a);
-- nobody reads them
-- expect nothing
-- expect undecided because it is not known yet whether some views are read
DO $$ BEGIN FOR i IN 1..30 LOOP PERFORM count(*) FROM m; PERFORM count(*) FROM opaque; PERFORM count(*) FROM safe; END LOOP; END $$;
-- expect matview.not_concurrent on public.m saying CREATE UNIQUE INDEX CONCURRENTLY m_a_key ON public.m (a)
-- expect matview.not_concurrent on public.m saying DROP INDEX CONCURRENTLY public.m_a_key
-- expect matview.not_concurrent on public.opaque saying its query does not show it
-- expect no matview.not_concurrent on public.safe
CREATE UNIQUE INDEX part ON m (a) WHERE a > 0;
-- expect matview.not_concurrent on public.m saying part is partial
CREATE UNIQUE INDEX ON m (a);
DROP MATERIALIZED VIEW opaque;
-- look
-- at +20 min
-- expect nothing
