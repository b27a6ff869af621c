-- Materialized views that somebody is at: by the locks that a refresh takes before its snapshot, and by the lock that refreshers
-- of ours take. Asked before the views themselves are read, so that a refresh that ends in between shows as one.
-- privilege: none (when it began is seen of our own login alone) · cost: one reading of the table of locks · since: 14
SELECT /* pgadvisor */
    c.oid,
    pg_catalog.bool_or(l.locktype = 'relation') AS is_busy,
    pg_catalog.min(a.xact_start) FILTER (WHERE l.locktype = 'relation') AS busy_since,
    pg_catalog.bool_or(l.locktype = 'advisory') AS is_being_refreshed
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_database AS d ON d.oid = l.database AND d.datname = pg_catalog.current_database()
JOIN pg_catalog.pg_class AS c ON c.oid = coalesce(l.relation, l.objid) AND c.relkind = 'm'
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.mode IN ('ExclusiveLock', 'AccessExclusiveLock')
   OR l.locktype = 'advisory' AND l.classid = 1885823332
GROUP BY c.oid
LIMIT 100000
