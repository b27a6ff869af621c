-- both of them wait for A, and work until it lets them go
-- session A:
SELECT pg_advisory_lock(7);
SELECT pg_advisory_lock(8);
-- session B:
SET application_name = 'report';
DO $$ BEGIN PERFORM pg_advisory_lock_shared(7); WHILE NOT pg_try_advisory_lock_shared(8) LOOP PERFORM pg_sleep(0.05); END LOOP; END $$ -- waits
;
-- session C:
SET application_name = 'pg_dump';
DO $$ BEGIN PERFORM pg_advisory_lock_shared(7); WHILE NOT pg_try_advisory_lock_shared(8) LOOP PERFORM pg_sleep(0.05); END LOOP; END $$ -- waits
;
-- one that asks to be left alone
-- session E:
SET application_name = 'marked';
/* pgadvisor:ignore activity.long_query */ DO $$ BEGIN PERFORM pg_advisory_lock_shared(7); WHILE NOT pg_try_advisory_lock_shared(8) LOOP PERFORM pg_sleep(0.05); END LOOP; END $$ -- waits
;
-- session A:
SELECT pg_advisory_unlock(7);
SELECT pg_sleep(0.3);
-- at +29 min
-- expect nothing
-- at +31 min
-- expect activity.long_query on report as postgres saying "severity":"warning"
-- expect activity.long_query on report as postgres saying SELECT pg_catalog.pg_cancel_backend
-- a dump may take as long as it likes
-- expect no activity.long_query on pg_dump as postgres
-- expect no activity.long_query on marked as postgres
-- at +61 min
-- expect activity.long_query on report as postgres saying "severity":"critical"
SELECT pg_advisory_unlock(8);
-- session B:
SELECT 1;
-- it has ended, and nobody looks for its process any more
-- expect nothing
-- at +80 min
-- what waits for a lock does not work, however long that takes
-- session A:
SELECT pg_advisory_lock(9);
-- session D:
SELECT pg_advisory_lock(9) -- waits
;
-- expect nothing
-- session A:
SELECT pg_advisory_unlock(9);
