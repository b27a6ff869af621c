SELECT pg_create_physical_replication_slot('gone', true);
SELECT pg_create_physical_replication_slot('never_used');
-- expect nothing
-- nobody has used it for an hour, and it keeps next to nothing
-- at +70 min
-- expect nothing
-- two segments of WAL
CREATE TABLE t (a int);
SELECT pg_switch_wal();
INSERT INTO t VALUES (1);
SELECT pg_switch_wal();
INSERT INTO t VALUES (2);
-- expect replication.slot_retention on gone saying has had no consumer for
-- expect replication.slot_retention on gone saying SELECT pg_catalog.pg_drop_replication_slot('gone')
-- expect replication.slot_retention on gone saying max_slot_wal_keep_size is -1
-- expect no replication.slot_retention on never_used
-- set warning_size = "1 MiB"
-- expect replication.slot_retention on gone saying "severity":"warning"
-- set critical_size = "2 MiB"
-- expect replication.slot_retention on gone saying "severity":"critical"
SELECT pg_drop_replication_slot('gone');
-- look
-- at +90 min
-- expect nothing
