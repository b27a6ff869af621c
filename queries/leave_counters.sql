-- Planning probes the ends of indexes, which would count as their use: switched off for this session, where that is allowed.
-- What is not allowed is not tried: the server would write an error into its log for each session.
-- privilege: superuser, or ALTER ROLE … SET beforehand · cost: none · since: 14
SELECT /* pgadvisor */ pg_catalog.set_config('track_counts', 'off', false) AS value
WHERE pg_catalog.current_setting('is_superuser') = 'on'
