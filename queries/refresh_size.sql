-- The size of one view with its indexes; null where it was dropped. It waits for whoever has the view locked.
-- privilege: none · cost: the sizes of its files · since: 14
SELECT /* pgadvisor */ pg_catalog.pg_total_relation_size(c.oid)::float8 AS size_bytes
FROM pg_catalog.pg_class AS c
WHERE c.oid = $1
