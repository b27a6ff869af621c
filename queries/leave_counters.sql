-- Planning probes the ends of indexes, which would count as their use: switched off for this session, where that is allowed.
-- privilege: superuser, or ALTER ROLE … SET · cost: none · since: 14
SELECT /* pgadvisor */ pg_catalog.set_config('track_counts', 'off', false) AS value
