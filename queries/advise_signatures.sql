-- What the functions ($1), the operators ($2) and the casts to types ($3) of these names take and give, and whether that depends on
-- nothing but what they take. Of the types themselves, and of those that such functions give: what a domain is of, whether
-- reading and writing one depends on nothing else, and whether a b-tree knows an order of them.
-- privilege: none · cost: some probes of indexes, some hundred rows · since: 14
SELECT /* pgadvisor */ s.kind, s.name, s.arguments, s.result, s.is_immutable, s.has_order
FROM (
    WITH called (kind, name, arguments, result, is_immutable) AS (
        SELECT 'function', p.proname::text, p.proargtypes::pg_catalog.oid[], p.prorettype,
            p.provolatile = 'i' AND p.prokind = 'f' AND NOT p.proretset AND p.provariadic = 0
        FROM pg_catalog.pg_proc AS p
        WHERE p.proname = ANY ($1::pg_catalog.text[])
        UNION ALL
        SELECT 'operator', o.oprname::text,
            CASE o.oprleft WHEN 0 THEN ARRAY[o.oprright] ELSE ARRAY[o.oprleft, o.oprright] END, o.oprresult, p.provolatile = 'i'
        FROM pg_catalog.pg_operator AS o
        JOIN pg_catalog.pg_proc AS p ON p.oid = o.oprcode
        WHERE o.oprname = ANY ($2::pg_catalog.text[])
        UNION ALL
        SELECT 'cast', t.typname::text, ARRAY[c.castsource], c.casttarget, c.castmethod = 'b' OR coalesce(p.provolatile = 'i', false)
        FROM pg_catalog.pg_cast AS c
        JOIN pg_catalog.pg_type AS t ON t.oid = c.casttarget
        LEFT JOIN pg_catalog.pg_proc AS p ON p.oid = c.castfunc
        -- the others read what the one type writes
        WHERE c.castmethod <> 'i' AND t.typname = ANY ($3::pg_catalog.text[])
    )
    SELECT c.kind, c.name, r.typname::text AS result, c.is_immutable, false AS has_order,
        ARRAY(
            SELECT t.typname::text FROM pg_catalog.unnest(c.arguments) WITH ORDINALITY AS a (oid, n)
            JOIN pg_catalog.pg_type AS t ON t.oid = a.oid ORDER BY a.n) AS arguments
    FROM called AS c
    JOIN pg_catalog.pg_type AS r ON r.oid = c.result
    UNION ALL
    SELECT 'type', t.typname::text, coalesce(b.typname, t.typname)::text, i.provolatile = 'i' AND u.provolatile = 'i',
        t.typtype IN ('c', 'e', 'r', 'm') OR t.typcategory = 'A' OR EXISTS (
            SELECT FROM pg_catalog.pg_opclass AS o
            JOIN pg_catalog.pg_am AS m ON m.oid = o.opcmethod AND m.amname = 'btree'
            WHERE o.opcdefault AND (o.opcintype = coalesce(b.oid, t.oid) OR EXISTS (
                SELECT FROM pg_catalog.pg_cast AS k
                WHERE k.castsource = coalesce(b.oid, t.oid) AND k.casttarget = o.opcintype
                  AND k.castmethod = 'b' AND k.castcontext = 'i'))),
        ARRAY[]::pg_catalog.text[]
    FROM pg_catalog.pg_type AS t
    JOIN pg_catalog.pg_proc AS i ON i.oid = t.typinput
    JOIN pg_catalog.pg_proc AS u ON u.oid = t.typoutput
    -- what it is over, where it is a domain, which may be over another one
    LEFT JOIN LATERAL (
        WITH RECURSIVE chain AS (
            SELECT p.oid, p.typname, p.typbasetype FROM pg_catalog.pg_type AS p WHERE p.oid = t.typbasetype
            UNION ALL
            SELECT p.oid, p.typname, p.typbasetype FROM chain AS d JOIN pg_catalog.pg_type AS p ON p.oid = d.typbasetype
        )
        SELECT e.oid, e.typname FROM chain AS e WHERE e.typbasetype = 0::oid
    ) AS b ON true
    WHERE t.typname = ANY ($3::pg_catalog.text[]) OR t.oid IN (SELECT c.result FROM called AS c)) AS s
LIMIT 10000
