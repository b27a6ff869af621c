-- Foreign keys with their columns and types, of tables that are no partitions of others; what is NOT ENFORCED is not looked up.
-- privilege: none · cost: one pass over pg_constraint with looks into pg_attribute and pg_type, every ten minutes · since: 18
SELECT /* pgadvisor */
    k.oid, k.conname::text AS name, k.conrelid AS table_oid, k.confrelid AS referenced_oid, k.confdeltype::text AS on_delete, k.confmatchtype = 'f' AS is_match_full,
    k.conperiod AS is_temporal,
    k.convalidated AS is_valid, f.columns, f.types, f.domains, f.referenced_columns, f.referenced_types, f.referenced_domains
FROM pg_catalog.pg_constraint AS k
CROSS JOIN LATERAL (
    SELECT
        pg_catalog.array_agg(a.attname::text ORDER BY u.position) FILTER (WHERE s.is_own) AS columns,
        pg_catalog.array_agg(y.type_name ORDER BY u.position) FILTER (WHERE s.is_own) AS types,
        pg_catalog.array_agg(y.domain_name ORDER BY u.position) FILTER (WHERE s.is_own) AS domains,
        pg_catalog.array_agg(a.attname::text ORDER BY u.position) FILTER (WHERE NOT s.is_own) AS referenced_columns,
        pg_catalog.array_agg(y.type_name ORDER BY u.position) FILTER (WHERE NOT s.is_own) AS referenced_types,
        pg_catalog.array_agg(y.domain_name ORDER BY u.position) FILTER (WHERE NOT s.is_own) AS referenced_domains
    FROM ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey)) WITH ORDINALITY AS u (attnum, refnum, position)
    CROSS JOIN LATERAL (VALUES (true, k.conrelid, u.attnum), (false, k.confrelid, u.refnum)) AS s (is_own, table_oid, attnum)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = s.table_oid AND a.attnum = s.attnum
    JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
    -- of a domain what it is over, which may be another one
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN t.typtype = 'd' THEN (
                WITH RECURSIVE chain AS (
                    SELECT t.typbasetype AS oid, t.typtypmod AS modifier
                    UNION ALL
                    SELECT p.typbasetype, p.typtypmod
                    FROM chain AS d JOIN pg_catalog.pg_type AS p ON p.oid = d.oid
                    WHERE p.typtype = 'd'
                )
                SELECT pg_catalog.format_type(o.oid, o.modifier)
                FROM chain AS o JOIN pg_catalog.pg_type AS p ON p.oid = o.oid
                WHERE p.typtype <> 'd'
            ) ELSE pg_catalog.format_type(a.atttypid, a.atttypmod) END AS type_name,
            CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(t.oid, NULL) END AS domain_name
    ) AS y
) AS f
WHERE k.contype = 'f' AND k.conenforced AND k.conparentid = 0 AND k.conrelid >= 16384
LIMIT $1
