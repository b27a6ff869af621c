-- Definitions and columns of materialized views, by OID.
-- privilege: none · cost: PostgreSQL prints each definition · since: 14
SELECT /* pgadvisor */
    c.oid,
    -- what makes several rows out of one is not seen in its text
    CASE WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = c.oid AND r.ev_action::text ~ ':hasTargetSRFs true')
         THEN pg_catalog.pg_get_viewdef(c.oid) END AS definition,
    -- null where a type has no order by which it could be indexed
    ARRAY(SELECT CASE WHEN y.typname NOT IN ('json', 'xml', 'point', 'lseg', 'line', 'box', 'path', 'polygon', 'circle', 'jsonpath', 'aclitem', 'xid')
                      THEN a.attname::text END
          FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS y ON y.oid = a.atttypid
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS columns
FROM pg_catalog.pg_class AS c
WHERE c.oid = ANY ($1) AND c.relkind = 'm'
