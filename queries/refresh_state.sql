-- One view as it is now, by its OID: no row where it was dropped.
-- privilege: none · cost: one row · since: 14
SELECT /* pgadvisor */
    n.nspname::text AS schema, c.relname::text AS name, c.xmin::text AS version, c.relfilenode AS filenode,
    pg_catalog.clock_timestamp() AS at, pg_catalog.pg_backend_pid() AS pid,
    coalesce(pg_catalog.pg_stat_get_numscans(c.oid), 0)
        + coalesce((SELECT sum(pg_catalog.pg_stat_get_numscans(i.indexrelid)) FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid), 0)::int8 AS scans,
    coalesce(pg_catalog.pg_stat_get_tuples_inserted(c.oid) + pg_catalog.pg_stat_get_tuples_updated(c.oid)
        + pg_catalog.pg_stat_get_tuples_deleted(c.oid), 0) AS written,
    pg_catalog.pg_stat_get_live_tuples(c.oid) AS rows
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = $1 AND c.relkind = 'm'
