-- Indexes ($1) that may be dropped: the table of each, its columns, and what else it is made of.
-- privilege: none · cost: a row an index · since: 14
SELECT /* pgadvisor */
    i.indexrelid AS oid, n.nspname::text AS schema, c.relname::text AS name,
    pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS predicate, pg_catalog.pg_get_expr(i.indexprs, i.indrelid) AS expressions,
    ARRAY(
        SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = i.indrelid AND a.attnum > 0 AND a.attnum = ANY (i.indkey)) AS columns
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE i.indexrelid = ANY ($1)
LIMIT 10000
