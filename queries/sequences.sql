-- Sequences, and the columns that take their values; not where they stand: that takes a lock on each.
-- privilege: none · cost: one row a sequence, every ten minutes · since: 14
SELECT /* pgadvisor */
    c.oid, n.nspname::text AS schema, c.relname::text AS name, pg_catalog.format_type(s.seqtypid, NULL) AS type_name,
    pg_catalog.has_sequence_privilege(c.oid, 'USAGE') OR pg_catalog.has_sequence_privilege(c.oid, 'SELECT') AS is_readable,
    s.seqmin AS least, s.seqmax AS greatest, s.seqincrement AS increment, s.seqcycle AS cycles,
    d.refobjid AS column_table_oid, a.attname::text AS column_name, pg_catalog.format_type(a.atttypid, NULL) AS column_type, d.deptype = 'i' AS is_identity
FROM pg_catalog.pg_sequence AS s
JOIN pg_catalog.pg_class AS c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_depend AS d
    ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE c.oid >= 16384 AND c.relpersistence <> 't'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS e WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.objid = c.oid AND e.deptype = 'e')
LIMIT $1
