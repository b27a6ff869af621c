-- set warning_rows = 1500
CREATE TABLE t (id int PRIMARY KEY, a int);
INSERT INTO t SELECT i, 1 FROM generate_series(1, 2000) i;
CREATE TABLE nearly (id int PRIMARY KEY, a int);
INSERT INTO nearly SELECT i, 1 FROM generate_series(1, 2000) i;
-- what was inserted is counted before ANALYZE comes
-- look
ANALYZE t, nearly;
-- twice the threshold is 500
UPDATE t SET a = 2 WHERE id <= 500;
UPDATE nearly SET a = 2 WHERE id <= 499;
CREATE TABLE never (a int);
INSERT INTO never SELECT i FROM generate_series(1, 1500) i;
CREATE TABLE days (day int, a int) PARTITION BY LIST (day);
CREATE TABLE days_1 PARTITION OF days FOR VALUES IN (1);
INSERT INTO days SELECT 1, i FROM generate_series(1, 1500) i;
CREATE TABLE small (a int);
INSERT INTO small SELECT i FROM generate_series(1, 900) i;
-- look
-- autovacuum may be on its way, and t was analyzed a moment ago
-- expect nothing
-- at +61 min
-- look
-- expect vacuum.stale_statistics on public.never saying "severity":"warning"
-- expect no vacuum.stale_statistics on public.t
-- at +122 min
-- expect vacuum.stale_statistics on public.t saying ANALYZE public.t
-- expect vacuum.stale_statistics on public.t saying "severity":"info"
-- expect vacuum.stale_statistics on public.days saying ANALYZE public.days
-- expect no vacuum.stale_statistics on public.days_1
-- expect no vacuum.stale_statistics on public.nearly
-- expect no vacuum.stale_statistics on public.small
ANALYZE;
-- look
-- at +140 min
-- expect nothing
-- what was forgotten is not known to be well
SELECT pg_stat_reset();
-- look
-- at +160 min
-- expect undecided because none is remembered since the counters began
-- expect nothing
