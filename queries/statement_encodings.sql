-- Databases of statements whose texts may hold bytes that this database does not take: SQL_ASCII (0) checks nothing, another encoding
-- may have characters that this one lacks, and of a database that is gone nobody knows. What is UTF8 (6) comes to us as it is.
-- privilege: pg_read_all_stats · cost: one row a database, only after texts could not be read · since: 14
SELECT /* pgadvisor */ e.database_oid, d.datname::text AS name
FROM (SELECT DISTINCT s.dbid AS database_oid FROM {schema}.pg_stat_statements(false) AS s) AS e
CROSS JOIN (SELECT p.encoding FROM pg_catalog.pg_database AS p WHERE p.datname = pg_catalog.current_database()) AS h
LEFT JOIN pg_catalog.pg_database AS d ON d.oid = e.database_oid
WHERE d.oid IS NULL
    OR CASE h.encoding WHEN 6 THEN d.encoding = 0 WHEN 0 THEN d.encoding <> 6 ELSE d.encoding <> h.encoding END
ORDER BY e.database_oid
