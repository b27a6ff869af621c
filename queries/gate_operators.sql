-- Which of these operators ($1) a statement could mean that has operators of such names ($2) between such types ($3, $4): NULL where
-- a type is not known, `unknown` where it is that of the other side. So PostgreSQL finds them without a schema in a search_path that
-- begins with pg_catalog: one there for just these types is taken before all others, and none that does not take such types.
-- privilege: none · cost: some probes of indexes for each operator and use · since: 14
SELECT /* pgadvisor */ o.oid
FROM pg_catalog.pg_operator AS o
WHERE o.oid = ANY ($1::pg_catalog.oid[])
  -- one that has a twin in pg_catalog is never seen
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_operator AS p
    WHERE p.oprnamespace = 'pg_catalog'::pg_catalog.regnamespace AND p.oprname = o.oprname AND p.oid < 16384
      AND p.oprleft = o.oprleft AND p.oprright = o.oprright)
  AND EXISTS (
    SELECT
    FROM ROWS FROM (pg_catalog.unnest($2::pg_catalog.text[]), pg_catalog.unnest($3::pg_catalog.oid[]), pg_catalog.unnest($4::pg_catalog.oid[]))
        AS u (name, left_type, right_type)
    WHERE u.name = o.oprname::text
      AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_operator AS p
        WHERE p.oprnamespace = 'pg_catalog'::pg_catalog.regnamespace AND p.oprname = o.oprname AND p.oid < 16384
          AND p.oprleft = CASE u.left_type WHEN 705 THEN u.right_type ELSE u.left_type END
          AND p.oprright = CASE u.right_type WHEN 705 THEN u.left_type ELSE u.right_type END)
      -- plain types between which there is no cast of any kind
      AND NOT EXISTS (
        SELECT FROM (VALUES (u.left_type, o.oprleft), (u.right_type, o.oprright)) AS v (given, taken)
        JOIN pg_catalog.pg_type AS g ON g.oid = v.given AND g.typtype = 'b' AND g.typcategory <> 'A'
        JOIN pg_catalog.pg_type AS t ON t.oid = v.taken AND t.typtype = 'b' AND t.typcategory <> 'A'
        WHERE v.given <> v.taken
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_cast AS c WHERE c.castsource = v.given AND c.casttarget = v.taken)))
