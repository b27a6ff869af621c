CREATE TABLE notes (id int, body text);
INSERT INTO notes SELECT g, md5(g::text) FROM generate_series(1, 12000) AS g;
CREATE TABLE few (id int, body text);
INSERT INTO few SELECT g, md5(g::text) FROM generate_series(1, 100) AS g;
ANALYZE notes;
ANALYZE few;
SELECT pg_stat_statements_reset();
-- what a session runs, or ran last in its transaction, is seen with its pattern
-- session A:
BEGIN;
SELECT count(*) FROM notes WHERE body LIKE '%needle%';
-- session B:
BEGIN;
SELECT count(*) FROM few WHERE body LIKE '%needle%';
-- session C:
BEGIN;
SELECT id FROM notes WHERE body LIKE 'needle%' ORDER BY id;
-- session main:
-- at +2 min
-- expect nothing
-- set minimum_load = 0.0000001
-- set info_share = 0.0
-- expect query.leading_wildcard saying gin (body gin_trgm_ops)
-- expect no query.leading_wildcard saying public.few
-- expect no query.leading_wildcard saying ORDER BY id
