-- Scans of indexes, straight from the statistics functions; each column is one array.
-- privilege: none · cost: one pass over pg_class · since: 16
SELECT /* pgadvisor */
    pg_catalog.array_agg(i.oid) AS oids, pg_catalog.array_agg(i.scans) AS scans, pg_catalog.array_agg(i.last_scan_at) AS last_scans_at
FROM (
    SELECT c.oid, pg_catalog.pg_stat_get_numscans(c.oid) AS scans, pg_catalog.pg_stat_get_lastscan(c.oid) AS last_scan_at
    FROM pg_catalog.pg_class AS c
    WHERE c.relkind = 'i' AND c.oid >= 16384 AND c.relpersistence <> 't'
    LIMIT $1
) AS i
