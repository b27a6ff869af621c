-- Where a search_path ($1: its schemas in the order in which names are looked for) finds types ($2) and functions ($3), if that is not
-- in pg_catalog. Schemas that may not be used are not looked in, as PostgreSQL does. Which of several functions of a name is meant, in
-- several schemas, hangs on what they are given: of these nothing is told.
-- privilege: none · cost: probes of indexes, some ms to plan · since: 14
SELECT /* pgadvisor */ f.kind, f.name, f.schema
FROM (
    WITH path (oid, schema, place) AS (
        SELECT n.oid, n.nspname::text, p.place
        FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY AS p (name, place)
        JOIN pg_catalog.pg_namespace AS n ON n.nspname = p.name
        WHERE pg_catalog.has_schema_privilege(n.oid, 'USAGE')
    ),
    types (name, schema) AS (
        SELECT DISTINCT ON (t.typname) t.typname::text, h.schema
        FROM pg_catalog.pg_type AS t
        JOIN path AS h ON h.oid = t.typnamespace
        WHERE t.typname = ANY ($2::pg_catalog.text[])
        ORDER BY t.typname, h.place
    )
    SELECT 'type', t.name, t.schema FROM types AS t
    UNION ALL
    SELECT 'function', p.proname::text, pg_catalog.min(h.schema)
    FROM pg_catalog.pg_proc AS p
    JOIN path AS h ON h.oid = p.pronamespace
    WHERE p.proname = ANY ($3::pg_catalog.text[])
    GROUP BY p.proname
    HAVING pg_catalog.count(DISTINCT h.oid) = 1) AS f (kind, name, schema)
WHERE f.schema <> 'pg_catalog'
LIMIT 1000
