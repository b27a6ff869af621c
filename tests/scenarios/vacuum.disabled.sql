-- set min_rows = 1000
CREATE TABLE normal (a int);
INSERT INTO normal SELECT i FROM generate_series(1, 2000) i;
CREATE TABLE small (a int) WITH (autovacuum_enabled = off);
INSERT INTO small SELECT i FROM generate_series(1, 999) i;
-- what was inserted is counted before ANALYZE comes
-- look
ANALYZE;
-- expect nothing
CREATE TABLE t (a int) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT i FROM generate_series(1, 1500) i;
CREATE TABLE doc (id int, body text) WITH (toast.autovacuum_enabled = false);
ALTER TABLE doc ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO doc SELECT i, repeat('x', 7000) FROM generate_series(1, 400) i;
VACUUM doc;
-- off from the start: neither VACUUM nor ANALYZE has ever counted the rows of its TOAST table
CREATE TABLE letter (id int, body text) WITH (toast.autovacuum_enabled = false);
ALTER TABLE letter ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO letter SELECT i, repeat('x', 7000) FROM generate_series(1, 400) i;
CREATE TABLE note (id int, body text) WITH (toast.autovacuum_enabled = false);
ALTER TABLE note ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO note SELECT i, repeat('x', 7000) FROM generate_series(1, 100) i;
CREATE TABLE days (day int, a int) PARTITION BY LIST (day);
CREATE TABLE days_1 PARTITION OF days FOR VALUES IN (1) WITH (autovacuum_enabled = off);
INSERT INTO days SELECT 1, i FROM generate_series(1, 1500) i;
-- expect vacuum.disabled on public.t saying ALTER TABLE public.t RESET (autovacuum_enabled)
-- expect vacuum.disabled on public.t saying "severity":"warning"
-- expect vacuum.disabled on public.doc saying ALTER TABLE public.doc RESET (toast.autovacuum_enabled)
-- expect vacuum.disabled on public.letter saying ALTER TABLE public.letter RESET (toast.autovacuum_enabled)
-- expect no vacuum.disabled on public.note
-- expect vacuum.disabled on public.days saying ALTER TABLE public.days_1 RESET (autovacuum_enabled)
-- expect no vacuum.disabled on public.days_1
-- expect no vacuum.disabled on public.normal
-- expect no vacuum.disabled on public.small
-- something else vacuums it
VACUUM t;
-- expect vacuum.disabled on public.t saying "severity":"info"
-- and no longer
-- at +25 h
-- expect vacuum.disabled on public.t saying "severity":"warning"
ALTER TABLE public.t RESET (autovacuum_enabled);
ALTER TABLE public.doc RESET (toast.autovacuum_enabled);
ALTER TABLE public.letter RESET (toast.autovacuum_enabled);
ALTER TABLE public.note RESET (toast.autovacuum_enabled);
ALTER TABLE public.days_1 RESET (autovacuum_enabled);
-- look
-- at +26 h
-- expect nothing
-- an old row is critical in a table of any size
-- set critical_age_share = 0.0
-- expect vacuum.disabled on public.small saying "severity":"critical"
-- expect no vacuum.disabled on public.t
