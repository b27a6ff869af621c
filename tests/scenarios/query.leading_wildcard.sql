CREATE TABLE notes (id int, body text, antibody text);
INSERT INTO notes SELECT g, md5(g::text) FROM generate_series(1, 12000) AS g;
CREATE TABLE few (id int, body text);
INSERT INTO few SELECT g, md5(g::text) FROM generate_series(1, 100) AS g;
CREATE TABLE logs (id int, line text) PARTITION BY RANGE (id);
CREATE TABLE logs_1 PARTITION OF logs DEFAULT;
INSERT INTO logs SELECT g, md5(g::text) FROM generate_series(1, 12000) AS g;
ANALYZE notes;
ANALYZE logs;
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
-- session D:
BEGIN;
SELECT max(id) FROM notes WHERE lower(antibody) LIKE '%needle%';
-- session E:
BEGIN;
SELECT min(id) FROM logs WHERE line LIKE '%needle%';
-- session main:
-- at +2 min
-- expect nothing
-- set minimum_load = 0.0000001
-- set info_share = 0.0
-- expect query.leading_wildcard saying gin (body public.gin_trgm_ops)
-- lower is known to be immutable
-- expect query.leading_wildcard saying gin (pg_catalog.lower(antibody) public.gin_trgm_ops)
-- a partitioned table gets its index one partition after the other
-- expect query.leading_wildcard saying CREATE INDEX CONCURRENTLY logs_1_line_trgm_idx ON public.logs_1 USING gin (line public.gin_trgm_ops)
-- expect query.leading_wildcard saying ATTACH PARTITION public.logs_1_line_trgm_idx
-- expect no query.leading_wildcard saying public.few
-- expect no query.leading_wildcard saying ORDER BY id
-- expect query.leading_wildcard saying the extension pg_trgm can be created on this server
-- expect query.leading_wildcard saying CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public
-- an index on a column whose name holds that of the searched one finds nothing of it, nor does one over some rows
CREATE EXTENSION pg_trgm;
CREATE INDEX notes_antibody ON notes USING gin (antibody gin_trgm_ops);
CREATE INDEX notes_body_some ON notes USING gin (body gin_trgm_ops) WHERE id < 100;
-- expect query.leading_wildcard saying the extension pg_trgm is installed in its database
-- expect no query.leading_wildcard saying CREATE EXTENSION
