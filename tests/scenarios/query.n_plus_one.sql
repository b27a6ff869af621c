CREATE TABLE customers (id int PRIMARY KEY, name text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers);
CREATE TABLE tags (id int PRIMARY KEY, label text);
INSERT INTO customers SELECT g, 'c' FROM generate_series(1, 8) AS g;
INSERT INTO orders SELECT g, g FROM generate_series(1, 8) AS g;
INSERT INTO tags SELECT g, 't' FROM generate_series(1, 8) AS g;
SELECT pg_stat_statements_reset();
-- a list, and each of its items alone
SELECT * FROM orders;
SELECT name FROM customers WHERE id = 1; SELECT name FROM customers WHERE id = 2; SELECT name FROM customers WHERE id = 3; SELECT name FROM customers WHERE id = 4; SELECT name FROM customers WHERE id = 5; SELECT name FROM customers WHERE id = 6; SELECT name FROM customers WHERE id = 7; SELECT name FROM customers WHERE id = 8;
-- as many look-ups, which nothing links with that list
SELECT label FROM tags WHERE id = 1; SELECT label FROM tags WHERE id = 2; SELECT label FROM tags WHERE id = 3; SELECT label FROM tags WHERE id = 4; SELECT label FROM tags WHERE id = 5; SELECT label FROM tags WHERE id = 6; SELECT label FROM tags WHERE id = 7; SELECT label FROM tags WHERE id = 8;
-- at +2 min
-- expect nothing
-- set info_calls_per_hour = 10.0
-- set max_mean = "1 s"
-- expect query.n_plus_one saying FROM customers
-- expect no query.n_plus_one saying FROM tags
