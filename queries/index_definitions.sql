-- Definitions of indexes not seen before. What somebody holds exclusively, or is in line to, is left out: the next look
-- asks again.
-- privilege: none · cost: about 25 µs each · since: 14
SELECT /* pgadvisor */ o.oid, pg_catalog.pg_get_indexdef(o.oid) AS definition
FROM pg_catalog.unnest($1::oid[]) AS o(oid)
JOIN pg_catalog.pg_index AS i ON i.indexrelid = o.oid
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_locks AS l
    WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.relation IN (i.indexrelid, i.indrelid)
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()))
