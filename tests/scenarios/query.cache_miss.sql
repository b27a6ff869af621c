-- larger than shared_buffers, which are 16 MB
CREATE TABLE archive (id int, note text);
INSERT INTO archive SELECT g, repeat('x', 900) FROM generate_series(1, 40000) AS g;
CREATE TABLE small (id int);
INSERT INTO small SELECT generate_series(1, 1000);
SELECT pg_stat_statements_reset();
SELECT max(note) FROM archive;
SELECT max(note) FROM archive;
SELECT max(id) FROM small;
SELECT max(id) FROM small;
-- at +2 min
-- expect skipped because since the server started
-- set after_start = "0 s"
-- less than 100 MB were read
-- expect nothing
-- set min_read = "10 MB"
-- expect query.cache_miss saying FROM archive
-- nobody looked while it was read
-- expect query.cache_miss saying may have been over by then
-- expect no query.cache_miss saying "severity":"warning"
-- expect no query.cache_miss saying FROM small
