-- Tables that inherit from others and are no partitions.
-- privilege: none · cost: one pass over pg_inherits, every ten minutes · since: 14
SELECT /* pgadvisor */ i.inhrelid AS table_oid, i.inhparent AS parent_oid
FROM pg_catalog.pg_inherits AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
-- a foreign table has no rows here, but others may inherit from it
WHERE c.relkind IN ('r', 'f') AND NOT c.relispartition
LIMIT $1
