CREATE TABLE t (id int PRIMARY KEY, a int, b int);
DO $$ BEGIN FOR i IN 1..9 LOOP EXECUTE format('CREATE INDEX ON t (a, (b + %s))', i); END LOOP; END $$;
CREATE TABLE quiet (id int PRIMARY KEY, a int, b int);
DO $$ BEGIN FOR i IN 1..9 LOOP EXECUTE format('CREATE INDEX ON quiet (a, (b + %s))', i); END LOOP; END $$;
CREATE TABLE nine (id int PRIMARY KEY, a int, b int);
DO $$ BEGIN FOR i IN 1..8 LOOP EXECUTE format('CREATE INDEX ON nine (a, (b + %s))', i); END LOOP; END $$;
-- look
INSERT INTO nine SELECT i, i, i FROM generate_series(1, 3000) i;
INSERT INTO t SELECT i, i, i FROM generate_series(1, 1000) i;
-- at +2 h
-- expect nothing
INSERT INTO t SELECT i, i, i FROM generate_series(1001, 4000) i;
-- at +4 h
-- expect index.too_many on public.t saying "indexes_count":10
-- expect index.too_many on public.t saying No other rule names one of them that may go
-- expect no index.too_many on public.quiet
-- expect no index.too_many on public.nine
-- at +6 h
-- look
-- at +8 h
-- expect nothing
-- nine that are more than twice as large as the table
-- set min_size = "8 kB"
INSERT INTO nine SELECT i, i, i FROM generate_series(3001, 6000) i;
ANALYZE nine;
-- at +10 h
-- expect index.too_many on public.nine
-- one that is the same as another is named, and by which rule
CREATE INDEX nine_twin ON nine (a, (b + 1));
-- expect index.too_many on public.nine saying (index.duplicate)
