-- Scans of indexes, straight from the statistics functions.
-- privilege: none · cost: one pass over pg_class · since: 14
SELECT /* pgadvisor */ c.oid, pg_catalog.pg_stat_get_numscans(c.oid) AS scans, NULL::timestamptz AS last_scan_at
FROM pg_catalog.pg_class AS c
WHERE c.relkind = 'i' AND c.oid >= 16384 AND c.relpersistence <> 't'
LIMIT $1
