-- set min_rows = 1000
CREATE TABLE own (a int) WITH (autovacuum_vacuum_scale_factor = 0.02);
INSERT INTO own SELECT i FROM generate_series(1, 1500) i;
CREATE TABLE off (a int) WITH (autovacuum_enabled = off);
INSERT INTO off SELECT i FROM generate_series(1, 1500) i;
CREATE TABLE small (a int);
INSERT INTO small SELECT i FROM generate_series(1, 999) i;
-- here rows are only added
CREATE TABLE log (a int);
INSERT INTO log SELECT i FROM generate_series(1, 1500) i;
-- what was inserted is counted before ANALYZE comes
SELECT pg_sleep(1.1);
ANALYZE;
UPDATE own SET a = 0 WHERE a <= 100;
UPDATE off SET a = 0 WHERE a <= 100;
UPDATE small SET a = 0 WHERE a <= 100;
-- expect nothing
CREATE TABLE t (a int);
INSERT INTO t SELECT i FROM generate_series(1, 1500) i;
CREATE TABLE days (day int, a int) PARTITION BY LIST (day);
CREATE TABLE days_1 PARTITION OF days FOR VALUES IN (1);
CREATE TABLE days_2 PARTITION OF days FOR VALUES IN (2);
INSERT INTO days SELECT 1, i FROM generate_series(1, 1500) i;
INSERT INTO days VALUES (2, 1);
ANALYZE;
UPDATE t SET a = 0 WHERE a <= 100;
UPDATE days SET a = 0 WHERE a <= 100;
-- expect vacuum.scale_factor_big on public.t saying ALTER TABLE public.t SET (autovacuum_vacuum_scale_factor = 0.05)
-- expect vacuum.scale_factor_big on public.days saying ALTER TABLE public.days_1 SET (autovacuum_vacuum_scale_factor = 0.05)
-- expect no vacuum.scale_factor_big on public.days saying days_2
-- expect no vacuum.scale_factor_big on public.days_1
-- expect no vacuum.scale_factor_big on public.log
-- expect no vacuum.scale_factor_big on public.own
-- expect no vacuum.scale_factor_big on public.off
-- expect no vacuum.scale_factor_big on public.small
ALTER TABLE public.t SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE public.days_1 SET (autovacuum_vacuum_scale_factor = 0.05);
-- look
-- at +20 min
-- expect nothing
