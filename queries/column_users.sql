-- What stands in the way of another type for columns of some tables (or of those at the top of their partitions), and of what inherits them.
-- privilege: none · cost: three looks into pg_depend's indexes for each table and each of its first 1000 partitions, every ten minutes · since: 14
SELECT /* pgadvisor */
    r.oid AS table_oid, c.name, COALESCE(c.is_in_partition_key, false) AS is_in_partition_key, COALESCE(c.is_inherited, false) AS is_inherited,
    COALESCE(c.used_by, '{}'::text[]) AS used_by, COALESCE(c.users, 0::int8) AS users
FROM (
    SELECT DISTINCT COALESCE(pg_catalog.pg_partition_root(u.oid)::pg_catalog.oid, u.oid) AS oid FROM pg_catalog.unnest($1) AS u (oid)
) AS r
-- of a table of which nothing stands in the way there is a row, too
LEFT JOIN LATERAL (
    WITH RECURSIVE tree AS (
        SELECT r.oid
        UNION
        SELECT i.inhrelid FROM tree AS t JOIN pg_catalog.pg_inherits AS i ON i.inhparent = t.oid
    )
    SELECT
        a.attname::text AS name, pg_catalog.bool_or(u.is_in_partition_key) AS is_in_partition_key, pg_catalog.bool_or(u.is_inherited) AS is_inherited,
        pg_catalog.count(DISTINCT u.told) AS users,
        (pg_catalog.array_agg(DISTINCT u.told) FILTER (WHERE u.told IS NOT NULL))[1:10] AS used_by
    FROM (SELECT t.oid FROM tree AS t LIMIT 1000) AS t
    CROSS JOIN LATERAL (
        -- the columns of a partition key depend on their own table
        SELECT d.objsubid AS attnum, true AS is_in_partition_key, false AS is_inherited, NULL::text AS told
        FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = t.oid AND d.objsubid > 0 AND d.deptype = 'i'
          AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = t.oid AND d.refobjsubid = 0
        UNION ALL
        SELECT b.attnum, false, true, NULL FROM pg_catalog.pg_attribute AS b WHERE b.attrelid = t.oid AND t.oid = r.oid AND b.attinhcount > 0
        UNION ALL
        -- a type that the table is OF has its columns, and rows that are values of a column (alone or in an array) keep theirs
        SELECT b.attnum, false, false, w.told
        FROM (
            SELECT 'type ' || n.nspname || '.' || y.typname || ' that ' || m.nspname || '.' || o.relname || ' is OF' AS told
            FROM pg_catalog.pg_class AS o
            JOIN pg_catalog.pg_namespace AS m ON m.oid = o.relnamespace
            JOIN pg_catalog.pg_type AS y ON y.oid = o.reloftype
            JOIN pg_catalog.pg_namespace AS n ON n.oid = y.typnamespace
            WHERE o.oid = t.oid
            UNION ALL
            SELECT 'column ' || n.nspname || '.' || v.relname || '.' || x.attname || ' of rows of ' || m.nspname || '.' || o.relname
            FROM pg_catalog.pg_class AS o
            JOIN pg_catalog.pg_namespace AS m ON m.oid = o.relnamespace
            JOIN pg_catalog.pg_type AS y ON y.oid = o.reltype
            JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass
                AND d.refobjid = ANY (ARRAY[y.oid, y.typarray]) AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objsubid > 0
            JOIN pg_catalog.pg_class AS v ON v.oid = d.objid AND v.relkind IN ('r', 'm', 'p')
            JOIN pg_catalog.pg_attribute AS x ON x.attrelid = v.oid AND x.attnum = d.objsubid AND NOT x.attisdropped
            JOIN pg_catalog.pg_namespace AS n ON n.oid = v.relnamespace
            WHERE o.oid = t.oid
        ) AS w
        JOIN pg_catalog.pg_attribute AS b ON b.attrelid = t.oid AND b.attnum > 0 AND NOT b.attisdropped
        UNION ALL
        SELECT d.refobjsubid, false, false, CASE d.classid
            WHEN 'pg_catalog.pg_rewrite'::pg_catalog.regclass THEN (
                SELECT CASE v.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' ELSE 'rule ' || w.rulename || ' of ' END || n.nspname || '.' || v.relname
                FROM pg_catalog.pg_rewrite AS w
                JOIN pg_catalog.pg_class AS v ON v.oid = w.ev_class
                JOIN pg_catalog.pg_namespace AS n ON n.oid = v.relnamespace
                WHERE w.oid = d.objid)
            WHEN 'pg_catalog.pg_trigger'::pg_catalog.regclass THEN (
                SELECT 'trigger ' || g.tgname || ' of ' || n.nspname || '.' || v.relname
                FROM pg_catalog.pg_trigger AS g
                JOIN pg_catalog.pg_class AS v ON v.oid = g.tgrelid
                JOIN pg_catalog.pg_namespace AS n ON n.oid = v.relnamespace
                WHERE g.oid = d.objid AND g.tgparentid = 0::pg_catalog.oid)
            -- the default of a column depends on that column; that of a generated one on those that it is made of
            WHEN 'pg_catalog.pg_attrdef'::pg_catalog.regclass THEN (
                SELECT 'generated column ' || n.nspname || '.' || v.relname || '.' || b.attname
                FROM pg_catalog.pg_attrdef AS f
                JOIN pg_catalog.pg_attribute AS b ON b.attrelid = f.adrelid AND b.attnum = f.adnum AND b.attgenerated <> ''
                JOIN pg_catalog.pg_class AS v ON v.oid = f.adrelid
                JOIN pg_catalog.pg_namespace AS n ON n.oid = v.relnamespace
                WHERE f.oid = d.objid AND f.adnum <> d.refobjsubid)
            -- in 14 the generated column itself depends on them
            WHEN 'pg_catalog.pg_class'::pg_catalog.regclass THEN (
                SELECT 'generated column ' || n.nspname || '.' || v.relname || '.' || b.attname
                FROM pg_catalog.pg_attribute AS b
                JOIN pg_catalog.pg_class AS v ON v.oid = b.attrelid
                JOIN pg_catalog.pg_namespace AS n ON n.oid = v.relnamespace
                WHERE d.objid = d.refobjid AND b.attrelid = d.objid AND b.attnum = d.objsubid AND b.attnum <> d.refobjsubid AND b.attgenerated <> '')
            WHEN 'pg_catalog.pg_policy'::pg_catalog.regclass THEN (
                SELECT 'policy ' || p.polname || ' of ' || n.nspname || '.' || v.relname
                FROM pg_catalog.pg_policy AS p
                JOIN pg_catalog.pg_class AS v ON v.oid = p.polrelid
                JOIN pg_catalog.pg_namespace AS n ON n.oid = v.relnamespace
                WHERE p.oid = d.objid)
            WHEN 'pg_catalog.pg_proc'::pg_catalog.regclass THEN (
                SELECT 'function ' || n.nspname || '.' || p.proname
                FROM pg_catalog.pg_proc AS p
                JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
                WHERE p.oid = d.objid)
            WHEN 'pg_catalog.pg_publication_rel'::pg_catalog.regclass THEN (
                SELECT 'publication ' || p.pubname
                FROM pg_catalog.pg_publication_rel AS f
                JOIN pg_catalog.pg_publication AS p ON p.oid = f.prpubid
                WHERE f.oid = d.objid)
            END
        FROM pg_catalog.pg_depend AS d
        WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = t.oid AND d.refobjsubid > 0
    ) AS u
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = u.attnum AND NOT a.attisdropped
    WHERE u.is_in_partition_key OR u.is_inherited OR u.told IS NOT NULL
    GROUP BY a.attname
) AS c ON true
