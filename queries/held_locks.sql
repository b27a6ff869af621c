-- Tables and indexes that some sessions have locked, the strongest locks of each first. Asked only where one has idled in its
-- transaction for a minute: it takes the lock manager's locks.
-- privilege: none · cost: one reading of the table of locks; $2 rows for each session · since: 14
SELECT /* pgadvisor */ h.pid, h.mode, h.relation_oid
FROM (
    SELECT
        l.pid, l.mode, l.relation AS relation_oid,
        pg_catalog.row_number() OVER (PARTITION BY l.pid ORDER BY m.strength DESC, l.relation) AS place
    FROM pg_catalog.pg_locks AS l
    JOIN (
        VALUES
            ('AccessShareLock', 1), ('RowShareLock', 2), ('RowExclusiveLock', 3), ('ShareUpdateExclusiveLock', 4), ('ShareLock', 5),
            ('ShareRowExclusiveLock', 6), ('ExclusiveLock', 7), ('AccessExclusiveLock', 8)
    ) AS m (mode, strength) ON m.mode = l.mode
    WHERE l.granted AND l.locktype = 'relation' AND l.relation >= 16384 AND l.pid = ANY($1)
) AS h
WHERE h.place <= $2
ORDER BY h.pid, h.place
