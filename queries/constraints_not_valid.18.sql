-- Constraints of tables and of domains that are NOT VALID, but for foreign keys, which are read with the others.
-- privilege: none · cost: one pass over pg_constraint, every ten minutes · since: 18
SELECT /* pgadvisor */
    k.conname::text AS name, k.conrelid AS table_oid, k.contype::text AS kind,
    CASE k.contype
        WHEN 'c' THEN pg_catalog.pg_get_expr(k.conbin, k.conrelid)
        ELSE (SELECT pg_catalog.quote_ident(a.attname) FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = k.conrelid AND a.attnum = k.conkey[1])
    END AS condition,
    dn.nspname::text AS domain_schema, d.typname::text AS domain_name
FROM pg_catalog.pg_constraint AS k
-- one of a domain belongs to no table
LEFT JOIN pg_catalog.pg_type AS d ON d.oid = k.contypid
LEFT JOIN pg_catalog.pg_namespace AS dn ON dn.oid = d.typnamespace
WHERE k.contype IN ('c', 'n') AND NOT k.convalidated AND k.conenforced AND (k.conrelid >= 16384 OR k.contypid >= 16384) AND k.coninhcount = 0
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS e WHERE e.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND e.objid = k.contypid AND e.deptype = 'e')
LIMIT $1
