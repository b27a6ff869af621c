-- Materialized views: what decides whether and how each can be refreshed, and what moves when somebody refreshes it.
-- privilege: none · cost: one pass over the materialized views and their indexes · since: 14
SELECT /* pgadvisor */
    c.oid, d.datname::text AS database, n.nspname::text AS schema, c.relname::text AS name, c.relispopulated AS is_populated,
    pg_catalog.pg_get_userbyid(c.relowner)::text AS owner,
    -- the privilege came with 17; before, it takes the owner
    CASE WHEN pg_catalog.current_setting('server_version_num')::int4 >= 170000 THEN pg_catalog.has_table_privilege(c.oid, 'MAINTAIN')
         ELSE pg_catalog.pg_has_role(c.relowner, 'USAGE') END AS may_refresh,
    -- what REFRESH CONCURRENTLY takes: PostgreSQL's is_usable_unique_index
    (SELECT x.relname::text FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
     WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
     ORDER BY x.relname LIMIT 1) AS unique_index,
    ARRAY(SELECT pg_catalog.concat(x.relname, ' ', CASE WHEN i.indpred IS NOT NULL THEN 'is partial'
                                               WHEN i.indexprs IS NOT NULL THEN 'has expressions' ELSE 'is not valid' END)
          FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
          WHERE i.indrelid = c.oid AND i.indisunique AND (i.indpred IS NOT NULL OR i.indexprs IS NOT NULL OR NOT i.indisvalid)
          ORDER BY x.relname) AS unusable_indexes,
    c.xmin::text AS version, c.relfilenode AS filenode,
    coalesce(pg_catalog.pg_stat_get_numscans(c.oid), 0)
        + coalesce((SELECT sum(pg_catalog.pg_stat_get_numscans(i.indexrelid)) FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid), 0)::int8 AS scans,
    coalesce(pg_catalog.pg_stat_get_tuples_inserted(c.oid) + pg_catalog.pg_stat_get_tuples_updated(c.oid)
        + pg_catalog.pg_stat_get_tuples_deleted(c.oid), 0) AS written,
    CASE WHEN pg_catalog.current_setting('track_commit_timestamp')::bool THEN pg_catalog.pg_xact_commit_timestamp(c.xmin) END AS committed_at,
    c.relpages::float8 * pg_catalog.current_setting('block_size')::float8 AS size_bytes
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_database AS d ON d.datname = pg_catalog.current_database()
WHERE c.relkind = 'm'
ORDER BY n.nspname, c.relname
LIMIT $1
