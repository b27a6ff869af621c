CREATE TABLE orders (id int PRIMARY KEY, note text, code int UNIQUE, customer int);
CREATE INDEX orders_note_idx ON orders (note);
CREATE INDEX orders_customer_idx ON orders (customer);
INSERT INTO orders SELECT i, i::text, i, i FROM generate_series(1, 1000) i;
ANALYZE orders;
-- young statistics: no finding, but no silence either
-- expect skipped because immature
-- expect nothing
-- at +36 days
SET enable_seqscan = off;
SELECT * FROM orders WHERE customer = 7;
-- the primary key and the unique constraint are as idle, and are never named
-- expect index.unused on public.orders_note_idx
SET enable_seqscan = off;
SELECT * FROM orders WHERE note = '7';
-- look
-- at +37 days
-- expect nothing
