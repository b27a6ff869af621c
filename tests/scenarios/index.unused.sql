CREATE TABLE customer (id int PRIMARY KEY);
CREATE TABLE orders (id int PRIMARY KEY, note text, code int UNIQUE, customer int);
CREATE INDEX orders_note_idx ON orders (note);
CREATE INDEX orders_customer_idx ON orders (customer);
INSERT INTO orders SELECT i, i::text, i, i FROM generate_series(1, 1000) i;
ANALYZE orders;
-- both support the foreign key
CREATE TABLE visits (id int PRIMARY KEY, customer int REFERENCES customer, note text);
CREATE INDEX visits_customer_idx ON visits (customer);
CREATE INDEX visits_customer_note_idx ON visits (customer, note);
-- the only support that a foreign key of two columns has
CREATE TABLE place (x int, y int, PRIMARY KEY (x, y));
CREATE TABLE pin (id int PRIMARY KEY, x int, y int, FOREIGN KEY (x, y) REFERENCES place);
CREATE INDEX pin_y_idx ON pin (y);
INSERT INTO customer VALUES (1);
INSERT INTO visits SELECT i, 1, repeat(i::text, 20) FROM generate_series(1, 1000) i;
ANALYZE visits;
-- young statistics: no finding, but no silence either
-- expect skipped because immature
-- expect nothing
-- at +36 days
SET enable_seqscan = off;
SELECT * FROM orders WHERE customer = 7;
-- the primary key and the unique constraint are as idle, and are never named
-- expect index.unused on public.orders_note_idx
-- expect index.unused on public.visits_customer_note_idx
-- expect no index.unused on public.visits_customer_idx
-- expect no index.unused on public.pin_y_idx
-- another name makes no other index
ALTER INDEX orders_note_idx RENAME TO orders_noted_idx;
-- expect index.unused on public.orders_noted_idx
SET enable_seqscan = off;
SELECT * FROM orders WHERE note = '7';
-- one that is made anew under the name does: what was open of the one before is over
DROP INDEX visits_customer_note_idx;
CREATE INDEX visits_customer_note_idx ON visits (note);
-- look
-- at +37 days
-- expect nothing
