-- Which of these functions ($1) always answer the same, with one row, for the same arguments, whoever calls them: all of that name
-- are PostgreSQL's own.
-- privilege: none · cost: some probes of an index · since: 14
SELECT /* pgadvisor */ w.name
FROM pg_catalog.unnest($1::pg_catalog.text[]) AS w (name)
WHERE EXISTS (SELECT FROM pg_catalog.pg_proc AS p WHERE p.proname = w.name)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc AS p
                  WHERE p.proname = w.name
                    AND (p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace OR p.provolatile <> 'i' OR p.proretset))
