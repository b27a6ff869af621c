CREATE TABLE t (a int);
CREATE MATERIALIZED VIEW filled AS SELECT a FROM t;
-- expect nothing
CREATE MATERIALIZED VIEW unfilled AS SELECT a FROM t WITH NO DATA;
-- a deployment may be about to fill it
-- expect nothing
-- at +6 min
-- expect matview.unpopulated on public.unfilled saying REFRESH MATERIALIZED VIEW public.unfilled
REFRESH MATERIALIZED VIEW unfilled;
-- look
-- at +30 min
-- expect nothing
