-- The locks that sessions wait for. Asked only where somebody waits: it takes the lock manager's locks.
-- privilege: none · cost: one row a lock · since: 14
SELECT /* pgadvisor */ l.pid, l.locktype AS kind, l.mode, l.relation AS relation_oid, l.waitstart AS since
FROM pg_catalog.pg_locks AS l
WHERE NOT l.granted
LIMIT $1
