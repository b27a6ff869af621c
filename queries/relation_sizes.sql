-- Real sizes of relations whose size the catalog does not know yet, or that have grown since it was told. What somebody holds
-- exclusively, or is in line to, is left out: this would wait behind both.
-- privilege: none · cost: a look at the file of each, so only of a few · since: 14
SELECT /* pgadvisor */ o.oid, pg_catalog.pg_relation_size(o.oid)::float8 AS size_bytes
FROM pg_catalog.unnest($1::oid[]) AS o(oid)
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_locks AS l
    WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.relation = o.oid
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()))
