-- since 17
-- expect skipped because needs two looks
CREATE TABLE orders (id int PRIMARY KEY, "Customer" int NOT NULL, note text);
INSERT INTO orders SELECT n, n % 5000, repeat('x', 100) FROM generate_series(1, 100000) AS n;
CREATE TABLE tiny (id int PRIMARY KEY, a int);
INSERT INTO tiny SELECT n, n FROM generate_series(1, 100) AS n;
ANALYZE;
SELECT pg_stat_statements_reset();
SELECT count(note) FROM orders WHERE "Customer" = 17;
SELECT count(note) FROM orders WHERE "Customer" = 18;
SELECT * FROM tiny WHERE a = 7;
SELECT note FROM orders WHERE id = 3;
-- at +2 min
-- expect skipped because HypoPG is not installed in this database
CREATE EXTENSION hypopg;
-- expect index.missing on public.orders saying CREATE INDEX CONCURRENTLY \"orders_Customer_idx\" ON public.orders
-- expect no index.missing on public.tiny
-- nobody asks for orders in this window: that says nothing
SELECT * FROM tiny WHERE a = 8;
-- at +45 min
-- expect undecided because were not called in this window
-- expect index.missing on public.orders
CREATE INDEX taken ON orders ("Customer");
SELECT count(note) FROM orders WHERE "Customer" = 19;
-- at +50 min
-- the plan that its users have now needs nothing more, which is told at the first look that knows of it
-- expect nothing
-- such a share of the time no index saves
DROP INDEX taken;
-- set info_share = 1.0
-- expect nothing
