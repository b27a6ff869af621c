-- Definitions and columns of materialized views, by OID.
-- privilege: none · cost: PostgreSQL prints each definition · since: 14
SELECT /* pgadvisor */
    c.oid, pg_catalog.pg_get_viewdef(c.oid) AS definition,
    ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS columns
FROM pg_catalog.pg_class AS c
WHERE c.oid = ANY ($1) AND c.relkind = 'm'
