-- Code of roles that are not trusted ($1), one example a schema: with `could_run` where a statement that names it, or a type
-- of `types` (if they are given), could run it while it is planned; without it where only a query of a trusted function could.
-- A table is no code, but may bring some along.
-- privilege: none · cost: one pass over pg_proc, pg_operator, pg_type and the views of pg_class, every half minute while planning · since: 14
WITH stranger AS (
    SELECT p.oid, p.pronamespace, p.proowner,
        p.provolatile <> 'v' OR l.lanname = 'sql' AS could_run
    FROM pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
    WHERE p.proowner <> ALL ($1) AND p.prokind <> 'p'
      -- PL/pgSQL itself refuses to run these but for a trigger
      AND NOT (l.lanname = 'plpgsql' AND p.prorettype IN ('pg_catalog.trigger'::pg_catalog.regtype, 'pg_catalog.event_trigger'::pg_catalog.regtype))
), code AS (
    SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid AS class, f.oid, f.pronamespace AS namespace,
        f.proowner AS owner, f.could_run, NULL::pg_catalog.oid[] AS types
    FROM stranger AS f
    UNION ALL
    SELECT 'pg_catalog.pg_operator'::pg_catalog.regclass, o.oid, o.oprnamespace, o.oprowner, true, NULL
    FROM pg_catalog.pg_operator AS o
    WHERE o.oprowner <> ALL ($1) OR o.oprcode IN (SELECT f.oid FROM stranger AS f)
    UNION ALL
    SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, t.typnamespace, t.typowner, true, NULL
    FROM pg_catalog.pg_type AS t
    WHERE t.typtype IN ('d', 'r') AND t.typowner <> ALL ($1)
    UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, pg_catalog.min(c.oid), c.relnamespace, c.relowner, false, NULL
    FROM pg_catalog.pg_class AS c
    WHERE (c.relhasrules OR c.relrowsecurity) AND c.relkind <> 'm' AND c.relowner <> ALL ($1)
    GROUP BY c.relnamespace, c.relowner
    UNION ALL
    SELECT 0, pg_catalog.min(c.oid), c.relnamespace, c.relowner, false, NULL
    FROM pg_catalog.pg_class AS c
    WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND c.relowner <> ALL ($1)
    GROUP BY c.relnamespace, c.relowner
    UNION ALL
    SELECT 'pg_catalog.pg_cast'::pg_catalog.regclass, k.oid, 0, f.proowner, true, ARRAY[k.castsource, k.casttarget]
    FROM pg_catalog.pg_cast AS k
    JOIN stranger AS f ON f.oid = k.castfunc
    UNION ALL
    SELECT 'pg_catalog.pg_amproc'::pg_catalog.regclass, a.oid, 0, f.proowner, true, ARRAY[a.amproclefttype, a.amprocrighttype]
    FROM pg_catalog.pg_amproc AS a
    JOIN stranger AS f ON f.oid = a.amproc
    UNION ALL
    SELECT 'pg_catalog.pg_amop'::pg_catalog.regclass, a.oid, 0, f.proowner, true, ARRAY[a.amoplefttype, a.amoprighttype]
    FROM pg_catalog.pg_amop AS a
    JOIN pg_catalog.pg_operator AS o ON o.oid = a.amopopr
    JOIN stranger AS f ON f.oid = o.oprcode
), example AS (
    SELECT DISTINCT ON (c.namespace, c.could_run, c.class = 0, c.types) c.class, c.oid, c.namespace, c.owner, c.could_run, c.types
    FROM code AS c
    ORDER BY c.namespace, c.could_run, c.class = 0, c.types, c.class, c.oid
)
SELECT /* pgadvisor */
    n.nspname::text AS schema, i.type AS kind, i.identity, r.rolname::text AS owner, e.could_run, e.class <> 0 AS is_code, e.types
FROM example AS e
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = e.namespace
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = e.owner
CROSS JOIN LATERAL pg_catalog.pg_identify_object(coalesce(nullif(e.class, 0), 'pg_catalog.pg_class'::pg_catalog.regclass), e.oid, 0) AS i
LIMIT $2
