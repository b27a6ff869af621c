SELECT pg_stat_statements_reset();
-- expect skipped because needs two looks
-- at +2 min
-- expect nothing
-- more statements than there is room for
SELECT pg_stat_statements_reset();
SET pg_stat_statements.track = 'all';
DO $$ BEGIN FOR i IN 1..9000 LOOP EXECUTE 'UNLISTEN c' || i; END LOOP; END $$;
-- at +5 min
-- nobody looked while that was thrown out
-- expect pgss.eviction on pg_stat_statements.max saying may have been over by then
-- expect no pgss.eviction saying "severity":"warning"
SET pg_stat_statements.track = 'all';
DO $$ BEGIN FOR i IN 1..9000 LOOP EXECUTE 'UNLISTEN d' || i; END LOOP; END $$;
-- at +11 min
-- expect pgss.eviction on pg_stat_statements.max saying "severity":"warning"
-- expect pgss.eviction on pg_stat_statements.max saying ALTER SYSTEM SET \"pg_stat_statements.max\" = '10000'
-- it is full, and has thrown nothing out
SELECT pg_stat_statements_reset();
SELECT 1;
-- set full_ratio = 0.0
-- at +13 min
-- expect pgss.eviction on pg_stat_statements.max saying "severity":"info"
-- set full_ratio = 0.95
-- at +45 min
-- look
-- at +60 min
-- expect nothing
