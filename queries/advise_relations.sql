-- The tables that names of a statement mean ($1 schemas, empty for none, $2 names) in a search_path ($3), each only where all its
-- rows are its own: no view, no policies, no children by inheritance; with its columns and their types.
-- privilege: none · cost: some probes of indexes a name · since: 14
SELECT /* pgadvisor */
    w.schema AS written_schema, w.name AS written_name, f.oid, f.schema,
    ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = f.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS columns,
    ARRAY(SELECT CASE WHEN l.collisdeterministic IS FALSE THEN 'nondeterministic' WHEN t.typtype = 'e' THEN 'enum' ELSE t.typname::text END
          FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
          LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
          WHERE a.attrelid = f.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS types
FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS w (schema, name)
CROSS JOIN LATERAL (
    SELECT c.oid, n.nspname::text AS schema, c.relkind, c.relrowsecurity, c.relhassubclass, c.relispartition, c.relpersistence
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relname = w.name AND (n.nspname = w.schema OR w.schema = '' AND n.nspname = ANY ($3::pg_catalog.text[]))
    ORDER BY pg_catalog.array_position($3::pg_catalog.text[], n.nspname::text)
    LIMIT 1) AS f
WHERE (f.relkind = 'r' AND NOT f.relhassubclass OR f.relkind = 'p') AND NOT f.relrowsecurity AND NOT f.relispartition
  AND f.relpersistence <> 't' AND f.oid >= 16384
