-- How tables were read and written: more counters than each look needs, so they are read with the names. Each column is one array.
-- privilege: none · cost: one pass over pg_class, every ten minutes · since: 16
SELECT /* pgadvisor */
    pg_catalog.array_agg(t.oid) AS oids, pg_catalog.array_agg(t.sequential_scans) AS sequential_scans,
    pg_catalog.array_agg(t.sequential_rows_read) AS sequential_rows_read, pg_catalog.array_agg(t.inserted) AS inserted,
    pg_catalog.array_agg(t.updated) AS updated, pg_catalog.array_agg(t.hot_updated) AS hot_updated, pg_catalog.array_agg(t.deleted) AS deleted,
    pg_catalog.array_agg(t.modified_since_analyze) AS modified_since_analyze, pg_catalog.array_agg(t.last_analyze_at) AS last_analyzes_at,
    pg_catalog.array_agg(t.new_page_updated) AS new_page_updated, pg_catalog.array_agg(t.last_sequential_scan_at) AS last_sequential_scans_at
FROM (
    SELECT
        c.oid,
        pg_catalog.pg_stat_get_numscans(c.oid) AS sequential_scans,
        pg_catalog.pg_stat_get_tuples_returned(c.oid) AS sequential_rows_read,
        pg_catalog.pg_stat_get_tuples_inserted(c.oid) AS inserted,
        pg_catalog.pg_stat_get_tuples_updated(c.oid) AS updated,
        pg_catalog.pg_stat_get_tuples_hot_updated(c.oid) AS hot_updated,
        pg_catalog.pg_stat_get_tuples_deleted(c.oid) AS deleted,
        pg_catalog.pg_stat_get_mod_since_analyze(c.oid) AS modified_since_analyze,
        greatest(pg_catalog.pg_stat_get_last_analyze_time(c.oid), pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid)) AS last_analyze_at,
        pg_catalog.pg_stat_get_tuples_newpage_updated(c.oid) AS new_page_updated,
        pg_catalog.pg_stat_get_lastscan(c.oid) AS last_sequential_scan_at
    FROM pg_catalog.pg_class AS c
    WHERE c.relkind IN ('r', 'm') AND c.oid >= 16384 AND c.relpersistence <> 't'
    -- so that each function is asked once
    LIMIT $1
) AS t
