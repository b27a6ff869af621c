ALTER SYSTEM SET work_mem = '5MB';
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
-- that counts at once; and what the command line says is not what the files say
-- expect nothing
-- expect undecided because max_connections, shared_buffers: the files say something else than the server's command line
ALTER SYSTEM SET max_wal_senders = 7;
ALTER SYSTEM SET event_source = 'other';
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
-- expect config.pending_restart on max_wal_senders saying The server still runs with max_wal_senders = 10
-- expect config.pending_restart on event_source saying the earlier value of event_source, a text that is not read here
-- expect no config.pending_restart on work_mem
-- expect no config.pending_restart on max_connections
ALTER SYSTEM SET max_wal_senders = 10;
ALTER SYSTEM SET event_source = 'PostgreSQL';
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
-- look
-- at +11 min
-- expect nothing
