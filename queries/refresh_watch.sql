-- Whether a refresh waits for a lock, and how many sessions wait for its view.
-- privilege: none · cost: one reading of the table of locks · since: 14
SELECT /* pgadvisor */
    EXISTS (SELECT FROM pg_catalog.pg_locks AS l WHERE l.pid = $1 AND NOT l.granted) AS is_waiting,
    (SELECT count(DISTINCT l.pid) FROM pg_catalog.pg_locks AS l WHERE l.relation = $2 AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = $3)
     AND NOT l.granted AND l.pid <> $1) AS waiting_sessions
