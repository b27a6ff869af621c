-- Names of indexes, and what decides whether one may go.
-- privilege: none · cost: one pass over pg_index, pg_constraint and pg_depend, so every ten minutes · since: 15
SELECT /* pgadvisor */
    i.indexrelid AS oid, i.indrelid AS table_oid, n.nspname::text AS schema, c.relname::text AS name,
    c.relpages::float8 * pg_catalog.current_setting('block_size')::float8 AS size_bytes,
    i.indisvalid AS is_valid, i.indisready AS is_ready, i.indisunique AS is_unique, i.indisprimary AS is_primary,
    i.indisexclusion AS is_exclusion, i.indisclustered AS is_clustered, i.indisreplident AS is_replica_identity,
    i.indexprs IS NOT NULL AS has_expressions, i.indpred IS NOT NULL AS has_predicate,
    k.conname::text AS constraint_name,
    -- the only index whose leading columns are those of a foreign key of its table
    EXISTS (
        SELECT FROM pg_catalog.pg_constraint AS f
        WHERE f.contype = 'f' AND f.conrelid = i.indrelid AND i.indpred IS NULL AND i.indisvalid
          AND (i.indkey::int2[])[0:pg_catalog.array_length(f.conkey, 1) - 1] @> f.conkey
          AND NOT EXISTS (
              SELECT FROM pg_catalog.pg_index AS o
              WHERE o.indrelid = i.indrelid AND o.indexrelid <> i.indexrelid AND o.indisvalid AND o.indpred IS NULL
                AND (o.indkey::int2[])[0:pg_catalog.array_length(f.conkey, 1) - 1] @> f.conkey)
    ) AS supports_foreign_key,
    c.relispartition AS is_partition, c.relkind = 'I' AS is_partitioned,
    EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid IN (i.indexrelid, i.indrelid) AND d.deptype = 'e') AS owned_by_extension,
    pg_catalog.concat_ws('|', c.relam, i.indnkeyatts, i.indkey, i.indclass, i.indcollation, i.indoption, i.indnullsnotdistinct) AS shape,
    c.xmin::text || '/' || i.xmin::text AS row_version
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
WHERE c.oid >= 16384 AND t.relkind IN ('r', 'm', 'p') AND t.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
LIMIT $1
