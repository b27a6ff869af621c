-- Scans of indexes that this session counted and has not handed to the counters that all see: planning probes the ends of indexes.
-- privilege: none · cost: one pass over pg_class, twice a plan, only where track_counts may not be switched off and no more than 50000 relations are · since: 14
SELECT /* pgadvisor */
    c.oid, n.nspname::text AS schema, c.relname::text AS name, pg_catalog.pg_stat_get_xact_numscans(c.oid) AS scans,
    pg_catalog.clock_timestamp() AS at, NULL::timestamptz AS last_scan_at
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'i' AND c.oid >= 16384 AND pg_catalog.pg_stat_get_xact_numscans(c.oid) > 0
