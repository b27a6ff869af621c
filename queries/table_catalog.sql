-- Names and facts of tables, materialized views and TOAST tables; of system tables only those whose age matters.
-- privilege: none · cost: one pass over pg_class, pg_inherits and pg_depend, so every ten minutes · since: 14
SELECT /* pgadvisor */
    c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
    c.reltuples::float8 AS rows, greatest(c.relpages, 0)::float8 * pg_catalog.current_setting('block_size')::float8 AS size_bytes,
    coalesce(c.reloptions, '{}') AS options,
    CASE WHEN c.relfrozenxid <> '0'::xid THEN pg_catalog.age(c.relfrozenxid)::int8 ELSE 0 END AS frozen_xid_age,
    p.oid AS toast_of,
    -- ANALYZE passes TOAST tables by, and where autovacuum is off for one nobody counts its rows
    CASE WHEN c.relkind = 't' THEN pg_catalog.pg_stat_get_live_tuples(c.oid)::float8 ELSE 0 END AS toast_live_rows,
    -- the table at the top of its partitions, and the one right above it
    CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid)::pg_catalog.oid END AS partition_of,
    CASE WHEN c.relispartition THEN (SELECT h.inhparent FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid = c.oid LIMIT 1) END AS parent_oid,
    c.oid IN (SELECT r.prrelid FROM pg_catalog.pg_publication_rel AS r)
        OR EXISTS (SELECT FROM pg_catalog.pg_publication AS b WHERE b.puballtables) AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AS is_published,
    EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e') AS owned_by_extension
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_class AS p ON c.relkind = 't' AND p.reltoastrelid = c.oid
WHERE c.relkind IN ('r', 'm', 't', 'p') AND c.relpersistence <> 't'
  AND (c.oid >= 16384 AND n.nspname NOT IN ('pg_catalog', 'information_schema') OR pg_catalog.age(c.relfrozenxid) > pg_catalog.current_setting('autovacuum_freeze_max_age')::int4)
LIMIT $1
