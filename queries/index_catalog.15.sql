-- Names of indexes, and what decides whether one may go.
-- privilege: none · cost: one pass over pg_index, pg_constraint and pg_depend, so every ten minutes · since: 15
SELECT /* pgadvisor */
    i.indexrelid AS oid, i.indrelid AS table_oid, n.nspname::text AS schema, c.relname::text AS name,
    c.relpages::float8 * pg_catalog.current_setting('block_size')::float8 AS size_bytes,
    i.indisvalid AS is_valid, i.indisready AS is_ready, i.indisunique AS is_unique, i.indimmediate AS is_immediate, i.indisprimary AS is_primary,
    i.indisexclusion AS is_exclusion, i.indisclustered AS is_clustered, i.indisreplident AS is_replica_identity,
    i.indexprs IS NOT NULL AS has_expressions, i.indpred IS NOT NULL AS has_predicate,
    k.conname::text AS constraint_name,
    -- a foreign key names it as the key that it points at
    i.indexrelid IN (SELECT f.conindid FROM pg_catalog.pg_constraint AS f WHERE f.contype = 'f') AS is_referenced,
    -- foreign keys of its table: those whose columns it begins with, in any order
    ARRAY(
        SELECT f.oid FROM pg_catalog.pg_constraint AS f
        WHERE f.contype = 'f' AND f.conrelid = i.indrelid AND i.indisvalid AND i.indpred IS NULL AND m.amname IN ('btree', 'hash')
          AND (i.indkey::int2[])[0:least(pg_catalog.array_length(f.conkey, 1), i.indnkeyatts) - 1] @> f.conkey
    ) AS foreign_keys,
    -- and those that it can at least narrow down
    ARRAY(
        SELECT f.oid FROM pg_catalog.pg_constraint AS f
        WHERE f.contype = 'f' AND f.conrelid = i.indrelid AND i.indisvalid AND i.indkey[0] = ANY (f.conkey)
    ) AS foreign_keys_in_part,
    -- a build locks the table before the index is there; VACUUM takes the same lock, so this is only: perhaps
    NOT i.indisvalid AND EXISTS (
        SELECT FROM pg_catalog.pg_locks AS l
        WHERE l.locktype = 'relation' AND l.relation = i.indrelid AND l.granted AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock')
          AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
    ) AS may_be_in_progress,
    c.relispartition AS is_partition, c.relkind = 'I' AS is_partitioned,
    -- the index at the top of its partitions
    CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid)::pg_catalog.oid END AS partition_of,
    EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid IN (i.indexrelid, i.indrelid) AND d.deptype = 'e') AS owned_by_extension,
    -- storage parameters that only tune how pages are filled and written may differ: either index answers the same at the same price
    pg_catalog.concat_ws('|', c.relam, i.indnkeyatts, i.indkey, i.indclass, i.indcollation, i.indoption, i.indnullsnotdistinct,
        (SELECT pg_catalog.string_agg(o.option, ',' ORDER BY o.option) FROM pg_catalog.unnest(c.reloptions) AS o (option)
         WHERE pg_catalog.split_part(o.option, '=', 1)
               NOT IN ('fillfactor', 'deduplicate_items', 'buffering', 'fastupdate', 'gin_pending_list_limit')),
        (SELECT pg_catalog.string_agg(a.attnum || a.attoptions::text, ',' ORDER BY a.attnum) FROM pg_catalog.pg_attribute AS a
         WHERE a.attrelid = i.indexrelid AND a.attoptions IS NOT NULL)) AS shape,
    c.xmin::text::int8 AS class_version, i.xmin::text::int8 AS index_version
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
WHERE c.oid >= 16384 AND t.relkind IN ('r', 'm', 'p') AND t.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
LIMIT $1
