CREATE TABLE t (id int PRIMARY KEY, a int);
INSERT INTO t SELECT i, i FROM generate_series(1, 20000) i;
CREATE TABLE small (id int PRIMARY KEY, a int);
INSERT INTO small SELECT i, i FROM generate_series(1, 5000) i;
CREATE TABLE export (id int PRIMARY KEY, a int);
INSERT INTO export SELECT i, i FROM generate_series(1, 20000) i;
CREATE TABLE p (id int, a int) PARTITION BY RANGE (id);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (6000);
CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM (6000) TO (20000);
INSERT INTO p SELECT i, i FROM generate_series(1, 12000) i;
-- look
-- a small table is read whole as fast as by any index, and an export is no loop
DO $$ BEGIN FOR i IN 1..50 LOOP PERFORM count(*) FROM small WHERE a = i; END LOOP; END $$;
SELECT count(*) FROM export;
-- at +2 h
-- expect nothing
-- twelve times in an hour
DO $$ BEGIN FOR i IN 1..25 LOOP PERFORM count(*) FROM t WHERE a = i; PERFORM count(*) FROM p WHERE a = i; END LOOP; END $$;
SELECT * FROM t WHERE a = 7;
-- at +4 h
-- expect index.seq_scan_hotspot on public.t saying FROM t WHERE a = $1
-- expect index.seq_scan_hotspot on public.p
-- expect no index.seq_scan_hotspot on public.p_1
-- expect no index.seq_scan_hotspot on public.small
-- an hour in which nobody reads it
-- at +6 h
-- look
-- at +8 h
-- expect nothing
