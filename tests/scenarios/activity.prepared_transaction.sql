CREATE TABLE t (a int);
BEGIN;
INSERT INTO t VALUES (1);
PREPARE TRANSACTION 'order 17';
-- at +4 min
-- expect nothing
-- at +6 min
-- expect activity.prepared_transaction on order 17 saying "severity":"warning"
-- at +61 min
-- expect activity.prepared_transaction on order 17 saying "severity":"critical"
-- expect activity.prepared_transaction on order 17 saying ROLLBACK PREPARED 'order 17'
-- expect activity.prepared_transaction on order 17 saying in the database postgres
ROLLBACK PREPARED 'order 17';
-- it is gone, and nobody looks for its name any more
-- expect nothing
