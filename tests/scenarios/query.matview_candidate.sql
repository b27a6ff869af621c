-- since 17
-- set min_rows = 100000
-- set max_age = "2 h"
-- expect skipped because needs two looks
CREATE EXTENSION hypopg;
CREATE TABLE "Orders" (id int PRIMARY KEY, status text, region int, amount numeric, made date);
INSERT INTO "Orders" SELECT n, 'status ' || n % 7, n % 3, n % 1000, date '2026-01-01' + n % 300 FROM generate_series(1, 200000) AS n;
CREATE TABLE busy (id int PRIMARY KEY, kind int, amount int);
INSERT INTO busy SELECT n, n % 9, n FROM generate_series(1, 200000) AS n;
VACUUM ANALYZE;
SELECT pg_stat_statements_reset();
-- at +11 min
-- look
SELECT status, count(*), sum(amount) AS total FROM "Orders" WHERE region = 0 GROUP BY status ORDER BY total DESC;
SELECT status, count(*), sum(amount) AS total FROM "Orders" WHERE region = 1 GROUP BY status ORDER BY total DESC;
SELECT status, count(*), sum(amount) AS total FROM "Orders" WHERE region = 2 GROUP BY status ORDER BY total DESC;
SELECT status, count(*), sum(amount) AS total FROM "Orders" WHERE region = 0 GROUP BY status ORDER BY total DESC;
SELECT status, count(*), sum(amount) AS total FROM "Orders" WHERE region = 1 GROUP BY status ORDER BY total DESC;
SELECT status, count(*), sum(amount) AS total FROM "Orders" WHERE region = 2 GROUP BY status ORDER BY total DESC;
-- as often, but a range cuts through its groups
SELECT status, avg(amount) FROM "Orders" WHERE made > '2026-02-01' GROUP BY status;
SELECT status, avg(amount) FROM "Orders" WHERE made > '2026-03-01' GROUP BY status;
SELECT status, avg(amount) FROM "Orders" WHERE made > '2026-04-01' GROUP BY status;
SELECT status, avg(amount) FROM "Orders" WHERE made > '2026-05-01' GROUP BY status;
SELECT status, avg(amount) FROM "Orders" WHERE made > '2026-06-01' GROUP BY status;
-- its table is written all the time
SELECT kind, sum(amount) FROM busy GROUP BY kind;
SELECT kind, sum(amount) FROM busy GROUP BY kind;
SELECT kind, sum(amount) FROM busy GROUP BY kind;
SELECT kind, sum(amount) FROM busy GROUP BY kind;
SELECT kind, sum(amount) FROM busy GROUP BY kind;
UPDATE busy SET amount = amount + 1 WHERE id % 10 = 0;
INSERT INTO "Orders" SELECT -n, 'new', 1, 1, date '2026-12-01' FROM generate_series(1, 100) AS n;
-- set min_calls = 5
-- at +45 min
-- expect query.matview_candidate saying CREATE MATERIALIZED VIEW public.\"Orders_by_status_region_a7f649\" AS\nSELECT status AS status, count(*) AS count, sum(amount) AS total, region AS region FROM public.\"Orders\" GROUP BY status, region
-- expect query.matview_candidate saying CREATE UNIQUE INDEX CONCURRENTLY ON public.\"Orders_by_status_region_a7f649\" (status, region)
-- expect query.matview_candidate saying SELECT status, count, total FROM public.\"Orders_by_status_region_a7f649\" WHERE region = $1 ORDER BY total DESC
-- expect no query.matview_candidate saying avg
-- expect no query.matview_candidate saying busy
-- what it says works, and gives the same
CREATE MATERIALIZED VIEW public."Orders_by_status_region_a7f649" AS
SELECT status AS status, count(*) AS count, sum(amount) AS total, region AS region FROM "Orders" GROUP BY status, region;
CREATE UNIQUE INDEX CONCURRENTLY ON "Orders_by_status_region_a7f649" (status, region);
SET pg_stat_statements.track = none;
SELECT 1 / (count(*) = 0)::int FROM (
    (SELECT status, count(*), sum(amount) AS total FROM "Orders" WHERE region = 0 GROUP BY status)
    EXCEPT SELECT status, count, total FROM "Orders_by_status_region_a7f649" WHERE region = 0) AS different;
-- at +47 min
-- expect query.matview_candidate saying is there already
-- nobody asks for it any more
-- at +80 min
-- look
-- at +115 min
-- look
-- at +150 min
-- expect nothing
