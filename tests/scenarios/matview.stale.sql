CREATE TABLE t (a int);
CREATE MATERIALIZED VIEW m AS SELECT a FROM t;
-- refresh view = "public.m", max_age = "1 min"
-- pass
-- expect nothing
-- at +50 s
-- expect nothing
-- at +70 s
-- expect matview.stale on public.m saying "severity":"info"
-- at +3 min
-- expect matview.stale on public.m saying "severity":"warning"
-- at +6 min
-- expect matview.stale on public.m saying "severity":"critical"
