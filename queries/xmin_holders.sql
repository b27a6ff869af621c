-- Who keeps old row versions from being removed, oldest first; where it is known, in which database and since when. Of those that
-- hold the same, whose own id it is comes first: the snapshots of the others have only seen it. Then slots, then the longest.
-- privilege: pg_read_all_stats for other roles' sessions and for standbys · cost: one row a session · since: 14
SELECT /* pgadvisor */ h.kind, h.name, h.database, h.age, h.since, h.catalogs_only
FROM (
    -- its own id counts like its snapshot: at READ COMMITTED a writer between two statements has no snapshot
    SELECT 'session' AS kind,
           pg_catalog.concat(coalesce(nullif(a.application_name, ''), a.backend_type), ' as ', coalesce(a.usename::text, 'system'), ', pid ', a.pid) AS name,
           a.datname::text AS database,
           greatest(pg_catalog.age(a.backend_xid), pg_catalog.age(a.backend_xmin))::int8 AS age,
           a.xact_start AS since, false AS catalogs_only,
           coalesce(pg_catalog.age(a.backend_xid) >= pg_catalog.age(a.backend_xmin), a.backend_xid IS NOT NULL) AS is_its_own
    FROM pg_catalog.pg_stat_activity AS a
    -- VACUUM holds back no other VACUUM; walsenders are the standbys below
    WHERE coalesce(a.backend_xid, a.backend_xmin) IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type <> 'walsender'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_vacuum AS v WHERE v.pid = a.pid)
    UNION ALL
    SELECT 'prepared transaction', p.gid, p.database::text, pg_catalog.age(p.transaction)::int8, p.prepared, false, true
    FROM pg_catalog.pg_prepared_xacts AS p
    UNION ALL
    SELECT 'replication slot', s.slot_name::text, NULL, pg_catalog.age(s.xmin)::int8, NULL, false, false
    FROM pg_catalog.pg_replication_slots AS s WHERE s.xmin IS NOT NULL
    UNION ALL
    SELECT 'replication slot', s.slot_name::text, NULL, pg_catalog.age(s.catalog_xmin)::int8, NULL, true, false
    FROM pg_catalog.pg_replication_slots AS s WHERE s.catalog_xmin IS NOT NULL
    UNION ALL
    -- feedback of a standby that has no slot; with one it is the slot that holds
    SELECT 'standby', coalesce(nullif(r.application_name, ''), 'unnamed') || coalesce(' at ' || pg_catalog.host(r.client_addr), ''), NULL,
           pg_catalog.age(r.backend_xmin)::int8, NULL, false, false
    FROM pg_catalog.pg_stat_replication AS r WHERE r.backend_xmin IS NOT NULL
) AS h
ORDER BY h.age DESC, h.is_its_own DESC, h.kind = 'replication slot' DESC, h.catalogs_only, h.since, h.name
LIMIT 100
