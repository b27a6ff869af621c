-- Texts of statements not seen before, each once: as many of them as fit into so many characters.
-- privilege: pg_read_all_stats · cost: the server reads its whole text file once, so it is asked seldom · since: 14
SELECT /* pgadvisor */ t.queryid, t.text
FROM (
    SELECT d.queryid, d.text, pg_catalog.sum(pg_catalog.length(d.text)) OVER (ORDER BY d.queryid) AS characters
    FROM (
        SELECT DISTINCT ON (s.queryid) s.queryid, pg_catalog.left(s.query, 100001) AS text
        FROM {schema}.pg_stat_statements(true) AS s
        WHERE s.queryid = ANY ($1)
        ORDER BY s.queryid
    ) AS d
) AS t
WHERE t.characters <= $2 OR pg_catalog.length(t.text) = t.characters
