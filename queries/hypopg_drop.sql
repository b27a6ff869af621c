-- Hypothetical indexes that are no longer wanted.
-- privilege: none · cost: little · since: 14
SELECT /* pgadvisor */ {schema}.hypopg_drop_index(o.oid) AS dropped
FROM pg_catalog.unnest($1::oid[]) AS o(oid)
