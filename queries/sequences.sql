-- Sequences, and the columns that take their values; not where they stand: that takes a lock on each.
-- privilege: none · cost: one row a sequence with the columns that it feeds, every ten minutes · since: 14
SELECT /* pgadvisor */
    c.oid, n.nspname::text AS schema, c.relname::text AS name, pg_catalog.format_type(s.seqtypid, NULL) AS type_name,
    pg_catalog.has_sequence_privilege(c.oid, 'USAGE') OR pg_catalog.has_sequence_privilege(c.oid, 'SELECT') AS is_readable,
    s.seqmin AS least, s.seqmax AS greatest, s.seqincrement AS increment, s.seqcycle AS cycles,
    k.table_oids AS column_table_oids, k.names AS column_names, k.type_names AS column_types, k.domain_names AS column_domains,
    k.are_identities AS columns_are_identities
FROM pg_catalog.pg_sequence AS s
JOIN pg_catalog.pg_class AS c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
-- the column that owns it, and those whose default it is: the narrowest, which ends first, before the others
CROSS JOIN LATERAL (
    SELECT
        pg_catalog.array_agg(w.table_oid ORDER BY w.place) AS table_oids, pg_catalog.array_agg(w.name ORDER BY w.place) AS names,
        pg_catalog.array_agg(w.type_name ORDER BY w.place) AS type_names, pg_catalog.array_agg(w.domain_name ORDER BY w.place) AS domain_names,
        pg_catalog.array_agg(w.is_identity ORDER BY w.place) AS are_identities
    FROM (
        SELECT u.table_oid, a.attname::text AS name, pg_catalog.format_type(b.oid, NULL) AS type_name, u.is_identity,
            CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(t.oid, NULL) END AS domain_name,
            pg_catalog.row_number() OVER (
                ORDER BY CASE WHEN t.typlen > 0 THEN t.typlen ELSE 100 END, u.is_owner DESC, u.table_oid, u.attnum
            ) AS place
        FROM (
            SELECT v.table_oid, v.attnum, pg_catalog.bool_or(v.is_identity) AS is_identity, pg_catalog.bool_or(v.is_owner) AS is_owner
            FROM (
                SELECT d.refobjid AS table_oid, d.refobjsubid AS attnum, d.deptype = 'i' AS is_identity, true AS is_owner
                FROM pg_catalog.pg_depend AS d
                WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
                UNION ALL
                SELECT f.adrelid, f.adnum, false, false
                FROM pg_catalog.pg_depend AS d
                JOIN pg_catalog.pg_attrdef AS f ON f.oid = d.objid
                WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = c.oid
                  AND d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
            ) AS v
            GROUP BY v.table_oid, v.attnum
        ) AS u
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = u.table_oid AND a.attnum = u.attnum AND NOT a.attisdropped
        JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
        -- what it is over, where it is a domain, which may be over another one
        CROSS JOIN LATERAL (
            WITH RECURSIVE chain AS (
                SELECT t.oid, t.typbasetype
                UNION ALL
                SELECT p.oid, p.typbasetype FROM chain AS d JOIN pg_catalog.pg_type AS p ON p.oid = d.typbasetype
            )
            SELECT o.oid FROM chain AS o WHERE o.typbasetype = 0::oid
        ) AS b
        -- what a column inherits with its default is told of its parent
        WHERE CASE WHEN a.attinhcount > 0 THEN NOT EXISTS (
            SELECT FROM pg_catalog.pg_inherits AS i
            JOIN pg_catalog.pg_attribute AS m ON m.attrelid = i.inhparent AND m.attname = a.attname
            JOIN pg_catalog.pg_attrdef AS f ON f.adrelid = m.attrelid AND f.adnum = m.attnum
            JOIN pg_catalog.pg_depend AS e ON e.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND e.objid = f.oid
                AND e.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.refobjid = c.oid
            WHERE i.inhrelid = u.table_oid
        ) ELSE true END
        ORDER BY place
        LIMIT 1000
    ) AS w
) AS k
WHERE c.oid >= 16384 AND c.relpersistence <> 't'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS e WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.objid = c.oid AND e.deptype = 'e')
LIMIT $1
