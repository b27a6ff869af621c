SET work_mem = '64kB';
SELECT pg_stat_statements_reset();
SELECT count(*) FROM (SELECT g FROM generate_series(1, 200000) AS g ORDER BY g DESC) AS sorted;
SELECT max(g) FROM (SELECT g FROM (VALUES (1), (3), (2)) AS v (g) ORDER BY g DESC) AS in_memory;
CREATE ROLE ledger;
ALTER ROLE ledger SET work_mem = '64kB';
SET ROLE ledger;
SELECT sum(g) FROM (SELECT g FROM generate_series(1, 200000) AS g ORDER BY g DESC) AS of_ledger;
RESET ROLE;
-- some megabytes in half an hour are no reason to change anything
-- at +2 min
-- expect nothing
-- set info_per_hour = "1 MB"
-- expect query.temp_spill saying ALTER ROLE postgres SET work_mem
-- who was given less than the server has loses that first, and gets it back by undoing
-- expect query.temp_spill saying ALTER ROLE ledger RESET work_mem
-- expect query.temp_spill saying ALTER ROLE ledger SET work_mem = '64kB'
-- expect no query.temp_spill saying in_memory
-- set warning_per_hour = "2 MB"
-- nobody looked while it was written
-- expect query.temp_spill saying may have been over by then
-- expect no query.temp_spill saying "severity":"warning"
SET work_mem = '64kB';
SELECT count(*) FROM (SELECT g FROM generate_series(1, 200000) AS g ORDER BY g DESC) AS sorted;
-- at +9 min
-- expect query.temp_spill saying "severity":"warning"
