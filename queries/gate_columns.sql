-- The types of columns of these names ($2) in these relations ($1).
-- privilege: none · cost: some probes of an index · since: 14
SELECT /* pgadvisor */ a.attrelid AS relation, a.attname::text AS name, a.atttypid AS type
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid = ANY ($1::pg_catalog.oid[]) AND a.attname::text = ANY ($2::pg_catalog.text[]) AND NOT a.attisdropped
LIMIT $3
