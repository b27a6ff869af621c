-- Hypothetical indexes of this session in the order of their definitions, and how large they would be.
-- privilege: none · cost: about 0.1 ms each · since: 14
SELECT /* pgadvisor */ h.indexrelid AS oid, h.indexname::text AS name, {schema}.hypopg_relation_size(h.indexrelid)::float8 AS size_bytes
FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS d(definition, number)
CROSS JOIN LATERAL {schema}.hypopg_create_index(d.definition) AS h
ORDER BY d.number
