-- A hypothetical index of this session, and how large it would be.
-- privilege: none · cost: about 0.1 ms · since: 14
SELECT /* pgadvisor */ h.indexrelid AS oid, h.indexname::text AS name, {schema}.hypopg_relation_size(h.indexrelid)::float8 AS size_bytes
FROM {schema}.hypopg_create_index($1) AS h
