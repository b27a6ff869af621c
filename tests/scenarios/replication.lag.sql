-- a server that subscribes to itself; what it applies waits for an advisory lock, and leaves no row
CREATE TABLE t (a int);
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;
CREATE TRIGGER wait BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION wait();
ALTER TABLE t ENABLE REPLICA TRIGGER wait;
CREATE PUBLICATION p FOR TABLE t;
SELECT pg_create_logical_replication_slot('slow', 'pgoutput');
DO $$ BEGIN EXECUTE format('CREATE SUBSCRIPTION slow CONNECTION %L PUBLICATION p WITH (create_slot = false, copy_data = false, slot_name = slow)', format('host=%s port=%s user=postgres dbname=postgres', split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'))); END $$;
DO $$ BEGIN FOR i IN 1..200 LOOP PERFORM pg_stat_clear_snapshot(); EXIT WHEN EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn IS NOT NULL); PERFORM pg_sleep(0.05); END LOOP; END $$;
-- session A:
SELECT pg_advisory_lock(1);
-- session main:
INSERT INTO t VALUES (1);
DO $$ BEGIN FOR i IN 1..200 LOOP EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted); PERFORM pg_sleep(0.05); END LOOP; END $$;
-- so little is no lag
-- look
-- at +11 min
-- expect nothing
-- set warning_size = "1 B"
-- it has to last
-- expect nothing
-- at +15 min
-- expect nothing
-- at +22 min
-- expect replication.lag on slow saying "severity":"warning"
-- set critical_size = "2 B"
-- expect replication.lag on slow saying "severity":"critical"
-- session A:
SELECT pg_advisory_unlock(1);
-- set warning_size = "100 MB"
-- set critical_size = "1 GB"
-- look
-- at +40 min
-- expect nothing
