CREATE TABLE t (id int PRIMARY KEY, a int);
CREATE TABLE v (id int PRIMARY KEY, a int);
CREATE TABLE p (a int);
INSERT INTO v VALUES (1, 1);
-- a reader that forgot its transaction, a migration that waits for it, and a reader behind that
-- session A:
SET application_name = 'shop';
BEGIN;
SELECT count(*) FROM t;
-- session B:
SET application_name = 'migration';
ALTER TABLE t ADD COLUMN b int -- waits
;
-- session C:
SELECT count(*) FROM t -- waits
;
-- one row
-- session D:
SET application_name = 'till';
BEGIN;
UPDATE v SET a = 2 WHERE id = 1;
-- session E:
UPDATE v SET a = 3 WHERE id = 1 -- waits
;
-- a lock that belongs to no session
-- session main:
BEGIN;
LOCK TABLE p;
PREPARE TRANSACTION 'left over';
-- session F:
SELECT count(*) FROM p -- waits
;
-- they have just begun
-- expect nothing
-- at +10 s
-- expect activity.blocking on shop as postgres saying "severity":"critical"
-- expect activity.blocking on shop as postgres saying holds up 2 sessions at public.t
-- expect activity.blocking on shop as postgres saying migration waits
-- expect no activity.blocking on till as postgres
-- expect no activity.blocking on migration as postgres
-- at +61 s
-- expect activity.blocking on till as postgres saying "severity":"warning"
-- expect activity.blocking on left over saying ROLLBACK PREPARED 'left over'
-- at +301 s
-- expect activity.blocking on till as postgres saying "severity":"critical"
-- session main:
ROLLBACK PREPARED 'left over';
-- session A:
COMMIT;
-- session D:
COMMIT;
-- session C:
SELECT 1;
-- session E:
SELECT 1;
-- session F:
SELECT 1;
-- nobody waits any more: it is over soon, and not at once, as it may begin again
-- expect activity.blocking on till as postgres
-- at +340 s
-- expect nothing
