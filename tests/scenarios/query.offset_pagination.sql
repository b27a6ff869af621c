CREATE TABLE articles (id int, body text);
INSERT INTO articles SELECT g, repeat('x', 400) FROM generate_series(1, 5000) AS g;
CREATE INDEX ON articles (id);
CREATE TABLE recent (id int, body text);
INSERT INTO recent SELECT g, repeat('x', 400) FROM generate_series(1, 5000) AS g;
CREATE INDEX ON recent (id);
ANALYZE articles;
ANALYZE recent;
SELECT pg_stat_statements_reset();
SELECT body FROM articles ORDER BY id LIMIT 2 OFFSET 1000; SELECT body FROM articles ORDER BY id LIMIT 2 OFFSET 1500; SELECT body FROM articles ORDER BY id LIMIT 2 OFFSET 2000; SELECT body FROM articles ORDER BY id LIMIT 2 OFFSET 2500; SELECT body FROM articles ORDER BY id LIMIT 2 OFFSET 3000; SELECT body FROM articles ORDER BY id LIMIT 2 OFFSET 3500;
SELECT body FROM recent WHERE id > 1000 ORDER BY id LIMIT 2; SELECT body FROM recent WHERE id > 1500 ORDER BY id LIMIT 2; SELECT body FROM recent WHERE id > 2000 ORDER BY id LIMIT 2; SELECT body FROM recent WHERE id > 2500 ORDER BY id LIMIT 2; SELECT body FROM recent WHERE id > 3000 ORDER BY id LIMIT 2; SELECT body FROM recent WHERE id > 3500 ORDER BY id LIMIT 2;
-- at +2 min
-- expect nothing
-- set minimum_load = 0.0000001
-- what the looks themselves take counts as database time, too
-- set info_share = 0.0001
-- six pages are not many
-- expect nothing
-- set min_calls = 6
-- expect query.offset_pagination saying FROM articles
-- expect no query.offset_pagination saying FROM recent
