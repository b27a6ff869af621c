CREATE TABLE report (id int);
CREATE TABLE page (id int);
INSERT INTO report VALUES (1);
INSERT INTO page VALUES (1);
SELECT pg_stat_statements_reset();
-- look
SELECT pg_sleep(0.3);
SELECT pg_sleep(0.3) FROM report;
UPDATE report SET id = 2 WHERE pg_sleep(0.3) IS NOT NULL;
SELECT pg_sleep(0.05) FROM page; SELECT pg_sleep(0.05) FROM page; SELECT pg_sleep(0.05) FROM page; SELECT pg_sleep(0.05) FROM page;
-- a server that is nearly idle has statements with a large share, too
-- at +31 min
-- expect nothing
-- set minimum_load = 0.0001
-- no call takes a second
-- expect nothing
-- set min_mean = "40 ms"
-- set max_calls = 4
-- expect query.heavy_rare saying FROM report
-- what writes is told, too, though no view could keep what it does
-- expect query.heavy_rare saying UPDATE report
-- what only sleeps is no load
-- expect no query.heavy_rare saying SELECT pg_sleep($1)"
-- what is called four times is not rare any more
-- expect no query.heavy_rare saying FROM page
-- one that is mended meanwhile: its next calls say so
CREATE TABLE mended (seconds float);
INSERT INTO mended VALUES (0.5);
SELECT pg_sleep(seconds) FROM mended;
-- at +44 min
-- expect query.heavy_rare saying FROM mended
-- expect no query.heavy_rare saying it is mended already
UPDATE mended SET seconds = 0;
SELECT pg_sleep(seconds) FROM mended;
-- at +50 min
-- expect query.heavy_rare saying it is mended already
-- one that waits for somebody else is sampled on its first call, before pg_stat_statements has it
CREATE TABLE patient (id int);
INSERT INTO patient VALUES (1);
-- session A:
BEGIN;
SELECT id FROM patient FOR UPDATE;
-- session B:
UPDATE patient SET id = 2 -- waits
;
-- session main:
SELECT pg_sleep(0.3);
-- sample 60
-- look
-- session A:
COMMIT;
-- session B:
SELECT 1;
-- expect query.heavy_rare saying waited for locks in 60 of the 60 samples
-- login stranger
-- expect skipped because pg_read_all_stats
