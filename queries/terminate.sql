-- Ends a session of our own login that does not answer any more.
-- privilege: the same login · cost: none · since: 14
SELECT /* pgadvisor */ pg_catalog.pg_terminate_backend($1) AS ended
