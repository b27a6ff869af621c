-- What one REFRESH of ours was counted to write, all its runs together: by its number where that is known, else by its text.
-- privilege: none (a role sees its own statements) · cost: one pass over the entries, without their texts once the number is known · since: 14
SELECT /* pgadvisor */
    s.queryid AS query_id, s.calls, s.wal_bytes::float8 AS wal_bytes,
    (s.temp_blks_written * pg_catalog.current_setting('block_size')::int8)::float8 AS temp_bytes
FROM {schema}.pg_stat_statements($1::int8 IS NULL) AS s
JOIN pg_catalog.pg_roles AS r ON r.oid = s.userid AND r.rolname = current_user
JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid AND d.datname = $3
WHERE s.toplevel AND (s.queryid = $1::int8 OR $1::int8 IS NULL AND s.query = $2)
