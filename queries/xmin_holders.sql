-- Who keeps old row versions from being removed, oldest first.
-- privilege: pg_read_all_stats for other roles' sessions · cost: one row a session · since: 14
SELECT /* pgadvisor */ h.kind, h.name, h.age
FROM (
    SELECT 'session' AS kind, coalesce(nullif(a.application_name, ''), a.backend_type) || ' as ' || coalesce(a.usename::text, 'system') AS name,
           pg_catalog.age(a.backend_xmin)::int8 AS age
    FROM pg_catalog.pg_stat_activity AS a WHERE a.backend_xmin IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid()
    UNION ALL
    SELECT 'prepared transaction', p.gid, pg_catalog.age(p.transaction)::int8 FROM pg_catalog.pg_prepared_xacts AS p
    UNION ALL
    SELECT 'replication slot', s.slot_name::text, greatest(pg_catalog.age(s.xmin), pg_catalog.age(s.catalog_xmin))::int8
    FROM pg_catalog.pg_replication_slots AS s WHERE s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL
) AS h
ORDER BY h.age DESC
LIMIT 10
