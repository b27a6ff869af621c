CREATE TABLE items (id int);
INSERT INTO items SELECT generate_series(1, 50000);
CREATE TABLE parts (id int);
INSERT INTO parts SELECT generate_series(1, 50000);
ANALYZE items;
ANALYZE parts;
SELECT pg_stat_statements_reset();
SELECT count(*) FROM items; SELECT count(*) FROM items; SELECT count(*) FROM items; SELECT count(*) FROM items;
SELECT count(*) FROM parts WHERE id > 10; SELECT count(*) FROM parts WHERE id > 10; SELECT count(*) FROM parts WHERE id > 10;
-- a server that is nearly idle has statements with a large share, too
-- at +2 min
-- expect nothing
-- set minimum_load = 0.0000001
-- what the looks themselves take counts as database time, too
-- set info_share = 0.001
-- expect query.count_all saying public.items
-- a count of some rows is another thing
-- expect no query.count_all saying FROM parts
