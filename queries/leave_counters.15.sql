-- Planning probes the ends of indexes, which would count as their use: switched off for this session, where that is allowed.
-- What is not allowed is not tried: the server would write an error into its log for each session.
-- privilege: superuser, GRANT SET ON PARAMETER, or ALTER ROLE … SET beforehand · cost: none · since: 15
SELECT /* pgadvisor */ pg_catalog.set_config('track_counts', 'off', false) AS value
WHERE pg_catalog.has_parameter_privilege('track_counts', 'SET')
