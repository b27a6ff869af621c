-- Where trigrams (the extension pg_trgm) are installed, if they are.
-- privilege: none · cost: one row, every ten minutes and at each run of the index advisor · since: 14
SELECT /* pgadvisor */ n.nspname::text AS schema
FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_trgm'
