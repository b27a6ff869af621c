CREATE TABLE big WITH (fillfactor = 10) AS SELECT i, repeat('x', 200) AS filler FROM generate_series(1, 3000) AS i;
-- expect skipped because its cache is still cold
-- expect nothing
-- at +1 h
-- look
SELECT count(*) FROM big;
SELECT count(*) FROM big;
SELECT count(*) FROM big;
-- at +24 h
-- some MB in a day are nothing
-- expect nothing
-- set least_read = "1 MB"
-- set least_ratio = 0.9999
-- expect config.cache_hit on postgres saying "evidence_window":{"from"
