-- Counters of tables and materialized views, straight from the statistics functions: the view costs several times that.
-- Each column is one array.
-- privilege: none · cost: one pass over pg_class · since: 14
SELECT /* pgadvisor */
    pg_catalog.array_agg(t.oid) AS oids, pg_catalog.array_agg(t.scans) AS scans, pg_catalog.array_agg(t.live_rows) AS live_rows,
    pg_catalog.array_agg(t.dead_rows) AS dead_rows, pg_catalog.array_agg(t.written) AS written, pg_catalog.array_agg(t.last_vacuum_at) AS last_vacuums_at,
    -- VACUUM counts the rows, and so does ANALYZE, which is asked for only where there was no VACUUM
    pg_catalog.array_agg(
        coalesce(t.last_vacuum_at, pg_catalog.pg_stat_get_last_autoanalyze_time(t.oid), pg_catalog.pg_stat_get_last_analyze_time(t.oid))
            IS NOT NULL
    ) AS rows_were_counted
FROM (
    SELECT
        c.oid,
        pg_catalog.pg_stat_get_numscans(c.oid) AS scans,
        pg_catalog.pg_stat_get_live_tuples(c.oid) AS live_rows,
        pg_catalog.pg_stat_get_dead_tuples(c.oid) AS dead_rows,
        pg_catalog.pg_stat_get_tuples_inserted(c.oid) + pg_catalog.pg_stat_get_tuples_updated(c.oid)
            + pg_catalog.pg_stat_get_tuples_deleted(c.oid) AS written,
        greatest(pg_catalog.pg_stat_get_last_autovacuum_time(c.oid), pg_catalog.pg_stat_get_last_vacuum_time(c.oid)) AS last_vacuum_at
    FROM pg_catalog.pg_class AS c
    WHERE c.relkind IN ('r', 'm') AND c.oid >= 16384 AND c.relpersistence <> 't'
    -- so that each function is asked once, too
    LIMIT $1
) AS t
