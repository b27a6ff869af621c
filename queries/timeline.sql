-- Which history of its cluster a primary writes: each promotion begins a new one. A standby has none of its own.
-- privilege: EXECUTE on pg_walfile_name and pg_current_wal_lsn, which everybody has unless it was taken away · cost: one row · since: 14
SELECT /* pgadvisor */
    CASE WHEN NOT pg_catalog.pg_is_in_recovery()
        THEN pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)
    END AS timeline
