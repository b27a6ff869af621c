-- Extended statistics of tables ($1), first, and of others in their schemas, whose names are taken: the expressions that those of the
-- tables are kept of (to tell them opens the table, so no other is), and whether nobody filled them yet, which owners of the table alone are told.
-- privilege: none (the table's owner for whether they are filled) · cost: a row for each, and a join of small catalogs for those of
-- the tables · since: 14
SELECT /* pgadvisor */
    s.stxrelid AS table_oid, n.nspname::text AS schema, s.stxname::text AS name,
    CASE WHEN s.stxrelid = ANY ($1::oid[]) THEN pg_catalog.pg_get_statisticsobjdef_expressions(s.oid) END AS expressions,
    coalesce(CASE WHEN s.stxrelid = ANY ($1::oid[]) AND s.stxexprs IS NOT NULL THEN (
        SELECT pg_catalog.bool_and(v.null_frac IS NULL)
        FROM pg_catalog.pg_stats_ext_exprs AS v
        WHERE v.statistics_schemaname = n.nspname AND v.statistics_name = s.stxname)
    END, false) AS is_empty
FROM pg_catalog.pg_statistic_ext AS s
JOIN pg_catalog.pg_namespace AS n ON n.oid = s.stxnamespace
WHERE s.stxrelid = ANY ($1::oid[])
   OR s.stxnamespace IN (SELECT c.relnamespace FROM pg_catalog.pg_class AS c WHERE c.oid = ANY ($1::oid[]))
ORDER BY (s.stxrelid = ANY ($1::oid[])) DESC, s.oid
LIMIT 10000
