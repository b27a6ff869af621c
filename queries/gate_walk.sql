-- Everything that planning can touch from some objects on ($1 classes, $2 oids), and what of it is code of roles that are not
-- trusted ($3), looks names up only when it runs, or must be judged by who asks ($4, the statement's role).
-- privilege: none · cost: probes of pg_depend for each object that is reached, once for each set of relations · since: 14
WITH RECURSIVE
class AS MATERIALIZED (
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid AS relation,
        'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid AS function,
        'pg_catalog.pg_operator'::pg_catalog.regclass::pg_catalog.oid AS operator,
        'pg_catalog.pg_opclass'::pg_catalog.regclass::pg_catalog.oid AS opclass,
        'pg_catalog.pg_type'::pg_catalog.regclass::pg_catalog.oid AS type,
        'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid AS rule,
        'pg_catalog.pg_policy'::pg_catalog.regclass::pg_catalog.oid AS policy,
        'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid AS "constraint",
        'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid AS "default",
        'pg_catalog.pg_statistic_ext'::pg_catalog.regclass::pg_catalog.oid AS "statistics"
),
-- with `is_called`: it runs whatever its volatility is
reached (class, oid, via_class, via_oid, is_called) AS (
    SELECT w.class, w.oid, NULL::pg_catalog.oid, NULL::pg_catalog.oid, false
    FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.oid[])) AS w (class, oid)
    UNION
    SELECT n.class, n.oid, r.class, r.oid, n.is_called
    FROM reached AS r
    CROSS JOIN class AS k
    CROSS JOIN LATERAL (
        -- what belongs to a relation; a materialized view is not rewritten
        SELECT k.rule AS class, w.oid, false AS is_called
        FROM pg_catalog.pg_rewrite AS w JOIN pg_catalog.pg_class AS c ON c.oid = w.ev_class
        WHERE r.class = k.relation AND w.ev_class = r.oid AND c.relkind <> 'm'
        UNION ALL
        SELECT k.policy, p.oid, false FROM pg_catalog.pg_policy AS p WHERE r.class = k.relation AND p.polrelid = r.oid
        UNION ALL
        SELECT k."constraint", c.oid, false FROM pg_catalog.pg_constraint AS c
        WHERE r.class = k.relation AND c.conrelid = r.oid AND c.contype = 'c'
        UNION ALL
        SELECT k."default", a.oid, false FROM pg_catalog.pg_attrdef AS a WHERE r.class = k.relation AND a.adrelid = r.oid
        UNION ALL
        SELECT k."statistics", s.oid, false FROM pg_catalog.pg_statistic_ext AS s WHERE r.class = k.relation AND s.stxrelid = r.oid
        UNION ALL
        SELECT k.relation, i.indexrelid, false FROM pg_catalog.pg_index AS i WHERE r.class = k.relation AND i.indrelid = r.oid
        UNION ALL
        SELECT k.relation, h.inhrelid, false FROM pg_catalog.pg_inherits AS h WHERE r.class = k.relation AND h.inhparent = r.oid
        UNION ALL
        -- the types of its columns, its operator classes, its partition key and those above it
        SELECT d.refclassid, d.refobjid, false
        FROM pg_catalog.pg_class AS c
        CROSS JOIN LATERAL (
            SELECT c.oid AS relation
            UNION
            SELECT a.relid FROM pg_catalog.pg_partition_ancestors(c.oid) AS a (relid) WHERE c.relispartition
        ) AS o
        JOIN pg_catalog.pg_depend AS d ON d.classid = k.relation AND d.objid = o.relation
        WHERE r.class = k.relation AND c.oid = r.oid AND d.refclassid IN (k.type, k.function, k.operator, k.opclass)
        UNION ALL
        -- what an expression, a function, an operator or a type refers to
        SELECT d.refclassid, d.refobjid,
            d.refclassid = k.function AND (
                r.class IN (k.operator, k.type, k.opclass)
                OR r.class = k."constraint" AND EXISTS (SELECT FROM pg_catalog.pg_constraint AS c WHERE c.oid = r.oid AND c.contypid <> 0))
        FROM pg_catalog.pg_depend AS d
        WHERE r.class <> k.relation AND d.classid = r.class AND d.objid = r.oid
          AND (d.refclassid IN (k.type, k.function, k.operator, k.opclass) OR d.refclassid = k.relation AND r.class <> k.type)
        UNION ALL
        -- the planner may turn an operator round, or negate it
        SELECT k.operator, x.oid, false
        FROM pg_catalog.pg_operator AS o
        CROSS JOIN LATERAL (VALUES (o.oprcom), (o.oprnegate)) AS x (oid)
        WHERE r.class = k.operator AND o.oid = r.oid
        UNION ALL
        SELECT k.function, a.amproc, true
        FROM pg_catalog.pg_opclass AS o JOIN pg_catalog.pg_amproc AS a ON a.amprocfamily = o.opcfamily
        WHERE r.class = k.opclass AND o.oid = r.oid
        UNION ALL
        SELECT k.operator, a.amopopr, true
        FROM pg_catalog.pg_opclass AS o JOIN pg_catalog.pg_amop AS a ON a.amopfamily = o.opcfamily
        WHERE r.class = k.opclass AND o.oid = r.oid
        UNION ALL
        -- the checks of a domain, the columns of a row type
        SELECT k."constraint", c.oid, false FROM pg_catalog.pg_constraint AS c
        WHERE r.class = k.type AND c.contypid = r.oid AND c.contype = 'c'
        UNION ALL
        SELECT k.type, d.refobjid, false
        FROM pg_catalog.pg_type AS t
        JOIN pg_catalog.pg_depend AS d ON d.classid = k.relation AND d.objid = t.typrelid AND d.refclassid = k.type
        WHERE r.class = k.type AND t.oid = r.oid AND t.typrelid <> 0
    ) AS n
    WHERE n.oid >= 16384
),
function AS (
    SELECT f.oid, f.via_class, f.via_oid, f.is_called, p.proowner, p.proowner = ANY ($3) AS is_trusted,
        -- one that runs from its text, and finds what it names only then
        l.lanname NOT IN ('internal', 'c') AND p.prosqlbody IS NULL AS is_text,
        (SELECT pg_catalog.substr(s.setting, 13) FROM pg_catalog.unnest(p.proconfig) AS s (setting)
         WHERE s.setting LIKE 'search\_path=%') AS search_path
    FROM reached AS f
    CROSS JOIN class AS k
    JOIN pg_catalog.pg_proc AS p ON p.oid = f.oid
    JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
    WHERE f.class = k.function
      AND (f.is_called OR p.provolatile <> 'v' OR l.lanname = 'sql')
      AND NOT (l.lanname = 'plpgsql' AND p.prorettype IN ('pg_catalog.trigger'::pg_catalog.regtype, 'pg_catalog.event_trigger'::pg_catalog.regtype))
),
-- expressions of roles that are not trusted: which of PostgreSQL's own functions they call only the tree tells
tree AS (
    SELECT x.class, x.oid, x.owner, x.is_called, x.tree::pg_catalog.text AS tree
    FROM (SELECT DISTINCT r.class, r.oid FROM reached AS r) AS r
    CROSS JOIN class AS k
    CROSS JOIN LATERAL (
        SELECT k.rule, w.oid, c.relowner, false, pg_catalog.concat(w.ev_action::pg_catalog.text, w.ev_qual::pg_catalog.text)
        FROM pg_catalog.pg_rewrite AS w JOIN pg_catalog.pg_class AS c ON c.oid = w.ev_class
        WHERE r.class = k.rule AND w.oid = r.oid
        UNION ALL
        SELECT k.policy, p.oid, c.relowner, false, pg_catalog.concat(p.polqual::pg_catalog.text, p.polwithcheck::pg_catalog.text)
        FROM pg_catalog.pg_policy AS p JOIN pg_catalog.pg_class AS c ON c.oid = p.polrelid
        WHERE r.class = k.policy AND p.oid = r.oid
        UNION ALL
        SELECT k."default", a.oid, c.relowner, false, a.adbin::pg_catalog.text
        FROM pg_catalog.pg_attrdef AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.adrelid
        WHERE r.class = k."default" AND a.oid = r.oid
        UNION ALL
        SELECT k."constraint", n.oid, coalesce(t.typowner, c.relowner), n.contypid <> 0, n.conbin::pg_catalog.text
        FROM pg_catalog.pg_constraint AS n
        LEFT JOIN pg_catalog.pg_class AS c ON c.oid = n.conrelid
        LEFT JOIN pg_catalog.pg_type AS t ON t.oid = n.contypid
        WHERE r.class = k."constraint" AND n.oid = r.oid
        UNION ALL
        SELECT k."statistics", s.oid, c.relowner, false, s.stxexprs::pg_catalog.text
        FROM pg_catalog.pg_statistic_ext AS s JOIN pg_catalog.pg_class AS c ON c.oid = s.stxrelid
        WHERE r.class = k."statistics" AND s.oid = r.oid
        UNION ALL
        SELECT k.relation, i.indexrelid, c.relowner, false, pg_catalog.concat(i.indexprs::pg_catalog.text, i.indpred::pg_catalog.text)
        FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
        WHERE r.class = k.relation AND i.indexrelid = r.oid
        UNION ALL
        SELECT k.relation, p.partrelid, c.relowner, false, p.partexprs::pg_catalog.text
        FROM pg_catalog.pg_partitioned_table AS p JOIN pg_catalog.pg_class AS c ON c.oid = p.partrelid
        WHERE r.class = k.relation AND p.partrelid = r.oid
        UNION ALL
        SELECT k.type, t.oid, t.typowner, true, t.typdefaultbin::pg_catalog.text
        FROM pg_catalog.pg_type AS t
        WHERE r.class = k.type AND t.oid = r.oid
    ) AS x (class, oid, owner, is_called, tree)
    WHERE x.owner <> ALL ($3)
),
verdict AS (
    -- code of somebody who is not trusted
    SELECT 'stranger' AS what, k.function AS class, f.oid, f.via_class, f.via_oid, f.proowner AS owner, NULL::pg_catalog.text AS detail
    FROM function AS f CROSS JOIN class AS k
    WHERE NOT f.is_trusted
    UNION ALL
    SELECT 'stranger', r.class, o.oid, r.via_class, r.via_oid, o.oprowner, NULL
    FROM reached AS r CROSS JOIN class AS k JOIN pg_catalog.pg_operator AS o ON o.oid = r.oid
    WHERE r.class = k.operator AND o.oprowner <> ALL ($3)
    UNION ALL
    -- code of somebody who is, that runs from its text
    SELECT 'text', k.function, f.oid, f.via_class, f.via_oid, f.proowner, f.search_path
    FROM function AS f CROSS JOIN class AS k
    WHERE f.is_trusted AND f.is_text
    UNION ALL
    -- functions of PostgreSQL itself
    SELECT DISTINCT CASE WHEN p.provolatile = 'v' THEN 'volatile' ELSE 'builtin' END, t.class, t.oid, NULL::pg_catalog.oid, NULL::pg_catalog.oid, t.owner, p.proname::text
    FROM tree AS t
    CROSS JOIN LATERAL pg_catalog.regexp_matches(t.tree, ':funcid (\d+)', 'g') AS m (found)
    JOIN pg_catalog.pg_proc AS p ON p.oid = m.found[1]::pg_catalog.oid
    WHERE p.oid < 16384 AND (t.is_called AND p.provolatile <> 'i' OR p.provolatile <> 'v' AND NOT p.proretset)
    UNION ALL
    -- the relations themselves
    SELECT DISTINCT CASE
            WHEN c.relkind = 'f' THEN 'foreign'
            WHEN NOT c.relrowsecurity THEN 'relation'
            WHEN u.oid IS NULL THEN 'row security unknown'
            WHEN e.planner AND e.role THEN 'relation'
            WHEN e.planner OR e.role OR EXISTS (
                SELECT FROM pg_catalog.pg_policy AS p
                WHERE p.polrelid = c.oid
                  AND EXISTS (SELECT FROM pg_catalog.unnest(p.polroles) AS g (oid) WHERE g.oid = 0 OR pg_catalog.pg_has_role(q.oid, g.oid, 'USAGE'))
                   <> EXISTS (SELECT FROM pg_catalog.unnest(p.polroles) AS g (oid) WHERE g.oid = 0 OR pg_catalog.pg_has_role(u.oid, g.oid, 'USAGE'))
            ) THEN 'row security differs'
            ELSE 'relation'
        END,
        k.relation, c.oid, NULL::pg_catalog.oid, NULL::pg_catalog.oid, c.relowner, NULL
    FROM reached AS r
    CROSS JOIN class AS k
    JOIN pg_catalog.pg_class AS c ON c.oid = r.oid
    JOIN pg_catalog.pg_roles AS q ON q.rolname = current_user
    LEFT JOIN pg_catalog.pg_roles AS u ON u.rolname::text = $4
    CROSS JOIN LATERAL (
        SELECT q.rolsuper OR q.rolbypassrls OR NOT c.relforcerowsecurity AND pg_catalog.pg_has_role(q.oid, c.relowner, 'USAGE') AS planner,
            u.rolsuper OR u.rolbypassrls OR NOT c.relforcerowsecurity AND pg_catalog.pg_has_role(u.oid, c.relowner, 'USAGE') AS role
    ) AS e
    WHERE r.class = k.relation AND c.relkind IN ('r', 'p', 'm', 'f')
    UNION ALL
    -- the types, by which casts are found
    SELECT DISTINCT 'type', r.class, r.oid, NULL::pg_catalog.oid, NULL::pg_catalog.oid, NULL::pg_catalog.oid, NULL
    FROM reached AS r CROSS JOIN class AS k
    WHERE r.class = k.type
)
SELECT /* pgadvisor */
    v.what, v.oid, i.type AS kind, i.identity, w.rolname::text AS owner, v.detail, a.type AS via_kind, a.identity AS via
FROM verdict AS v
LEFT JOIN pg_catalog.pg_roles AS w ON w.oid = v.owner
LEFT JOIN LATERAL pg_catalog.pg_identify_object(v.class, v.oid, 0) AS i ON v.what NOT IN ('relation', 'type')
LEFT JOIN LATERAL pg_catalog.pg_identify_object(v.via_class, v.via_oid, 0) AS a ON v.via_oid IS NOT NULL
LIMIT $5
