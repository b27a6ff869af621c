CREATE TABLE t (a int);
-- two sessions that wait for one that holds the table
-- session A:
BEGIN;
LOCK TABLE t;
-- session B:
SET application_name = 'shop';
SELECT count(*) FROM t -- waits
;
-- session C:
SET application_name = 'shop';
SELECT count(*) FROM t -- waits
;
-- expect skipped because needs samples of what sessions do
-- sample 59
-- expect skipped because needs 60 samples of what sessions do, and has 59
-- two sessions in 240 samples are not 500 yet
-- sample 181
-- expect nothing
-- sample 20
-- expect activity.wait_hotspot saying goes into waiting for Lock: relation
-- expect activity.wait_hotspot saying %: shop
-- expect activity.wait_hotspot saying "severity":"info"
-- declare cores = 1
-- expect activity.wait_hotspot saying "severity":"warning"
-- session A:
COMMIT;
-- session B:
SELECT 1;
-- session C:
SELECT 1;
-- at +2 h
-- expect skipped because there are none of the last hour
-- one that is at work waits for nothing, however busy the server is
-- session A:
SELECT pg_advisory_lock(7);
SELECT pg_advisory_lock(8);
-- session B:
DO $$ BEGIN PERFORM pg_advisory_lock_shared(7); WHILE NOT pg_try_advisory_lock_shared(8) LOOP END LOOP; END $$ -- waits
;
-- session A:
SELECT pg_advisory_unlock(7);
SELECT pg_sleep(0.3);
-- sample 600
-- look
-- at +140 min
-- expect nothing
-- session A:
SELECT pg_advisory_unlock(8);
-- session B:
SELECT 1;
-- login stranger
-- sample 1
-- expect skipped because does not see what sessions of other roles do
