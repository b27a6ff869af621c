CREATE TABLE t (a int);
-- session A:
SET application_name = 'shop';
BEGIN;
SELECT count(*) FROM t;
-- the leader of a parallel dump does nothing but hold its snapshot
-- session B:
SET application_name = 'pg_dump';
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM t;
-- one that asks to be left alone, and one that asks that of another rule
-- session E:
SET application_name = 'marked';
BEGIN;
SELECT /* pgadvisor:ignore activity.idle_* */ count(*) FROM t;
-- session F:
SET application_name = 'half marked';
BEGIN;
SELECT /* pgadvisor:ignore activity.long_query */ count(*) FROM t;
-- one that has ended its transaction
-- session C:
BEGIN;
INSERT INTO t VALUES (1);
ROLLBACK;
-- what idles for a second is asked what it has locked
-- session main:
SELECT pg_sleep(1.1);
-- at +4 min
-- expect nothing
-- at +6 min
-- expect activity.idle_in_transaction on shop as postgres saying "severity":"warning"
-- expect activity.idle_in_transaction on shop as postgres saying ALTER ROLE postgres SET idle_in_transaction_session_timeout
-- expect activity.idle_in_transaction on shop as postgres saying "locks_held":["public.t: AccessShareLock"]
-- expect no activity.idle_in_transaction on pg_dump as postgres
-- expect no activity.idle_in_transaction on client backend as postgres
-- expect no activity.idle_in_transaction on marked as postgres
-- expect activity.idle_in_transaction on half marked as postgres
-- who holds much back is critical sooner
-- set critical_xmin_age = 2
-- session D:
SET application_name = 'writer';
BEGIN;
INSERT INTO t VALUES (2);
-- session C:
INSERT INTO t VALUES (3);
INSERT INTO t VALUES (4);
-- expect activity.idle_in_transaction on writer as postgres saying "severity":"critical"
-- expect activity.idle_in_transaction on shop as postgres saying "severity":"warning"
-- at +31 min
-- expect activity.idle_in_transaction on shop as postgres saying "severity":"critical"
-- session A:
COMMIT;
-- session D:
COMMIT;
-- session E:
COMMIT;
-- session F:
COMMIT;
-- they have ended, and nobody looks for their processes any more
-- expect nothing
