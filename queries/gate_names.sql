-- What the names of a statement may mean in a search_path ($1): a relation as its first match ($2 schemas, $3 names), a
-- function ($4, $5), one called as `row.name` ($6), an operator ($7, $8) and a type ($9, $10) as all that could be meant.
-- privilege: none · cost: some probes of indexes a name · since: 14
WITH path AS (
    SELECT n.oid, s.position
    FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[])) WITH ORDINALITY AS s (name, position)
    JOIN pg_catalog.pg_namespace AS n ON n.nspname = s.name
), relation AS (
    SELECT w.schema, w.name, f.oid, f.namespace, f.kind, f.owner, f.is_plain
    FROM ROWS FROM (pg_catalog.unnest($2::pg_catalog.text[]), pg_catalog.unnest($3::pg_catalog.text[])) AS w (schema, name)
    LEFT JOIN LATERAL (
        SELECT c.oid, c.relnamespace AS namespace, c.relkind AS kind, c.relowner AS owner,
            c.relkind = 'r' AND NOT (c.relhasrules OR c.relrowsecurity OR c.relhassubclass OR c.relispartition) AS is_plain
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        LEFT JOIN path AS p ON p.oid = n.oid
        WHERE c.relname = w.name AND (n.nspname = w.schema OR w.schema IS NULL AND p.oid IS NOT NULL)
        ORDER BY p.position
        LIMIT 1
    ) AS f ON true
)
SELECT /* pgadvisor */
    'relation' AS what, r.name, r.oid, r.kind::text AS kind, n.nspname::text AS schema, r.is_plain,
    coalesce(pg_catalog.has_schema_privilege(r.namespace, 'USAGE'), true) AS is_usable,
    -- where else an unqualified name is found
    ARRAY(
        SELECT DISTINCT m.nspname::text
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS m ON m.oid = c.relnamespace
        WHERE r.schema IS NULL AND c.relname = r.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
          AND c.relnamespace IS DISTINCT FROM r.namespace
        LIMIT 5
    ) AS elsewhere
FROM relation AS r
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = r.namespace
UNION ALL
-- of PostgreSQL's own functions only those that it could run while planning matter
SELECT DISTINCT CASE WHEN p.oid < 16384 THEN 'builtin' ELSE 'function' END, p.proname::text,
    CASE WHEN p.oid < 16384 THEN 0 ELSE p.oid END, p.prokind::text, NULL, false, true, NULL::pg_catalog.text[]
FROM ROWS FROM (pg_catalog.unnest($4::pg_catalog.text[]), pg_catalog.unnest($5::pg_catalog.text[])) AS w (schema, name)
JOIN pg_catalog.pg_proc AS p ON p.proname = w.name
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE (n.nspname = w.schema OR w.schema IS NULL AND n.oid IN (SELECT h.oid FROM path AS h))
  AND (p.oid >= 16384 OR p.provolatile <> 'v' AND NOT p.proretset AND p.prokind = 'f')
UNION ALL
SELECT 'function', p.proname::text, p.oid, p.prokind::text, NULL, false, true, NULL
FROM pg_catalog.unnest($6::pg_catalog.text[]) AS w (name)
JOIN pg_catalog.pg_proc AS p ON p.proname = w.name AND p.oid >= 16384
JOIN pg_catalog.pg_type AS t ON t.oid = p.proargtypes[0]
WHERE p.pronamespace IN (SELECT h.oid FROM path AS h) AND t.typtype IN ('c', 'd', 'p')
  AND (p.provariadic <> 0 OR p.pronargs - p.pronargdefaults <= 1)
UNION ALL
SELECT 'operator', o.oprname::text, o.oid, NULL, NULL, false, true, NULL
FROM ROWS FROM (pg_catalog.unnest($7::pg_catalog.text[]), pg_catalog.unnest($8::pg_catalog.text[])) AS w (schema, name)
JOIN pg_catalog.pg_operator AS o ON o.oprname = w.name AND o.oid >= 16384
JOIN pg_catalog.pg_namespace AS n ON n.oid = o.oprnamespace
WHERE n.nspname = w.schema OR w.schema IS NULL AND n.oid IN (SELECT h.oid FROM path AS h)
UNION ALL
SELECT 'type', t.typname::text, t.oid, t.typtype::text, NULL, false, true, NULL
FROM ROWS FROM (pg_catalog.unnest($9::pg_catalog.text[]), pg_catalog.unnest($10::pg_catalog.text[])) AS w (schema, name)
JOIN pg_catalog.pg_type AS t ON t.typname = w.name AND t.oid >= 16384
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
WHERE n.nspname = w.schema OR w.schema IS NULL AND n.oid IN (SELECT h.oid FROM path AS h)
LIMIT $11
