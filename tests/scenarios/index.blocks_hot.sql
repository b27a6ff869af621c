-- set warning_updates_per_hour = 1000
-- pages with room, and a column that no index holds
CREATE TABLE hot (id int PRIMARY KEY, n int) WITH (fillfactor = 40);
INSERT INTO hot SELECT i, 1 FROM generate_series(1, 1000) i;
-- no index to write to
CREATE TABLE heap (n int);
INSERT INTO heap SELECT i FROM generate_series(1, 1000) i;
CREATE TABLE t (id int PRIMARY KEY, state int, note int);
CREATE INDEX t_state ON t (state);
CREATE INDEX t_note ON t (note);
INSERT INTO t SELECT i, 1, 1 FROM generate_series(1, 1000) i;
ANALYZE;
-- look
UPDATE hot SET n = n + 1;
UPDATE hot SET n = n + 1;
UPDATE hot SET n = n + 1;
UPDATE heap SET n = n + 1;
UPDATE heap SET n = n + 1;
UPDATE heap SET n = n + 1;
-- a thousand in two hours are few
UPDATE t SET state = state + 1;
-- at +2 h
-- expect nothing
UPDATE t SET state = state + 1;
UPDATE t SET state = state + 1;
UPDATE t SET state = state + 1;
-- at +4 h
-- expect index.blocks_hot on public.t saying ALTER TABLE public.t SET (fillfactor = 90)
-- expect index.blocks_hot on public.t saying "indexes_over_them":["t_state"]
-- expect no index.blocks_hot on public.hot
-- expect no index.blocks_hot on public.heap
-- at +6 h
-- look
-- at +8 h
-- expect nothing
