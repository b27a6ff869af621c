CREATE TABLE parent (id int PRIMARY KEY);
INSERT INTO parent SELECT i FROM generate_series(1, 100) i;
-- small
CREATE TABLE tiny (parent int REFERENCES parent);
INSERT INTO tiny SELECT i FROM generate_series(1, 100) i;
-- columns in another order
CREATE TABLE place (x int, y int, PRIMARY KEY (x, y));
INSERT INTO place VALUES (1, 1);
CREATE TABLE pin (id int, x int, y int, z int, FOREIGN KEY (x, y) REFERENCES place);
INSERT INTO pin SELECT i, 1, 1, i FROM generate_series(1, 5000) i;
CREATE INDEX pin_y_x_z ON pin (y, x, z);
-- exactly the rows whose key is there
CREATE TABLE referring (id int, x int, y int, FOREIGN KEY (x, y) REFERENCES place);
INSERT INTO referring SELECT i, 1, 1 FROM generate_series(1, 5000) i;
CREATE INDEX referring_x_y ON referring (x, y) WHERE x IS NOT NULL AND y IS NOT NULL;
-- each partition has one of its own
CREATE TABLE part (id int, parent int REFERENCES parent) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (3000);
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (3000) TO (9000);
INSERT INTO part SELECT i, i % 100 + 1 FROM generate_series(1, 6000) i;
CREATE INDEX part_1_own ON part_1 (parent);
CREATE INDEX part_2_own ON part_2 (parent, id);
ANALYZE;
-- expect nothing
DROP INDEX part_2_own;
-- expect index.fk_missing on public.part_parent_fkey saying CREATE INDEX CONCURRENTLY part_2_parent_idx ON public.part_2 USING btree (parent)
CREATE INDEX part_2_own ON part_2 (parent);
-- partitions of partitions: from below
CREATE TABLE levels (id int, region text, parent int REFERENCES parent) PARTITION BY LIST (region);
CREATE TABLE levels_eu PARTITION OF levels FOR VALUES IN ('eu') PARTITION BY RANGE (id);
CREATE TABLE levels_eu_1 PARTITION OF levels_eu FOR VALUES FROM (0) TO (9000);
CREATE TABLE levels_us PARTITION OF levels FOR VALUES IN ('us');
INSERT INTO levels SELECT i, 'eu', i % 100 + 1 FROM generate_series(1, 5000) i;
ANALYZE levels;
-- look
-- expect index.fk_missing on public.levels_parent_fkey saying CREATE INDEX levels_eu_parent_idx ON ONLY public.levels_eu USING btree (parent)
-- expect index.fk_missing on public.levels_parent_fkey saying ALTER INDEX public.levels_eu_parent_idx ATTACH PARTITION public.levels_eu_1_parent_idx
-- expect index.fk_missing on public.levels_parent_fkey saying DROP INDEX public.levels_parent_idx
CREATE INDEX levels_parent_idx ON ONLY public.levels USING btree (parent);
CREATE INDEX levels_eu_parent_idx ON ONLY public.levels_eu USING btree (parent);
CREATE INDEX CONCURRENTLY levels_us_parent_idx ON public.levels_us USING btree (parent);
CREATE INDEX CONCURRENTLY levels_eu_1_parent_idx ON public.levels_eu_1 USING btree (parent);
ALTER INDEX public.levels_eu_parent_idx ATTACH PARTITION public.levels_eu_1_parent_idx;
ALTER INDEX public.levels_parent_idx ATTACH PARTITION public.levels_us_parent_idx;
ALTER INDEX public.levels_parent_idx ATTACH PARTITION public.levels_eu_parent_idx;
-- look
-- at +20 min
-- expect no index.fk_missing on public.levels_parent_fkey
-- columns that are not in front, and some rows alone, do not count
CREATE TABLE child (id int PRIMARY KEY, "Parent" int REFERENCES parent ON DELETE CASCADE, x int);
INSERT INTO child SELECT i, i % 100 + 1, i FROM generate_series(1, 5000) i;
CREATE INDEX child_x ON child (x, "Parent");
CREATE INDEX child_some ON child ("Parent") WHERE x > 0;
ANALYZE child;
-- look
-- expect index.fk_missing on public.child_Parent_fkey saying "severity":"info"
-- expect index.fk_missing on public.child_Parent_fkey saying CREATE INDEX CONCURRENTLY \"child_Parent_idx\" ON public.child USING btree (\"Parent\")
-- expect index.fk_missing on public.child_Parent_fkey saying child_some does not help
-- expect no index.fk_missing on public.tiny_parent_fkey
INSERT INTO parent VALUES (1000);
DELETE FROM parent WHERE id = 1000;
-- at +2 h
-- expect index.fk_missing on public.child_Parent_fkey saying "severity":"warning"
CREATE INDEX child_parent ON child ("Parent");
-- look
-- at +3 h
-- expect nothing
