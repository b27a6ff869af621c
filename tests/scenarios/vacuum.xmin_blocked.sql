-- set min_dead_rows = 5000
CREATE TABLE t (id int PRIMARY KEY, a int);
INSERT INTO t SELECT i, 1 FROM generate_series(1, 20000) i;
ANALYZE t;
-- this holds back catalogs alone
SELECT pg_create_logical_replication_slot('decoded', 'pgoutput');
-- session A:
SET application_name = 'shop';
BEGIN;
SELECT pg_current_xact_id();
-- session main:
BEGIN;
INSERT INTO t VALUES (30000, 1);
PREPARE TRANSACTION 'left over';
UPDATE t SET a = 2 WHERE id <= 7000;
UPDATE t SET a = 3 WHERE id > 10000 AND id <= 17000;
-- it has to last an hour
-- expect nothing
-- at +61 min
-- expect vacuum.xmin_blocked on shop as postgres saying "severity":"warning"
-- expect vacuum.xmin_blocked on shop as postgres saying SELECT pg_catalog.pg_terminate_backend
-- expect no vacuum.xmin_blocked on decoded
-- the oldest counts: with the younger one gone nothing could be removed
-- expect no vacuum.xmin_blocked on left over
-- at +25 h
-- expect vacuum.xmin_blocked on shop as postgres saying "severity":"critical"
-- session A:
COMMIT;
-- who has seen a transaction that is not over holds as much back as that, and is not to blame
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM t;
-- expect vacuum.xmin_blocked on left over saying ROLLBACK PREPARED 'left over'
-- session A:
COMMIT;
-- session main:
ROLLBACK PREPARED 'left over';
VACUUM t;
-- look
-- at +26 h
-- expect nothing
-- so few dead rows hurt nobody, however long
-- session A:
BEGIN;
SELECT pg_current_xact_id();
-- session main:
UPDATE t SET a = 4 WHERE id <= 4500;
SELECT pg_current_xact_id();
-- expect nothing
