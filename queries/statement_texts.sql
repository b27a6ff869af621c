-- Texts of statements not seen before, each once.
-- privilege: pg_read_all_stats · cost: the server reads its whole text file once, so it is asked seldom · since: 14
SELECT /* pgadvisor */ DISTINCT ON (s.queryid) s.queryid, pg_catalog.left(s.query, 100001) AS text
FROM {schema}.pg_stat_statements(true) AS s
WHERE s.queryid = ANY ($1)
LIMIT $2
