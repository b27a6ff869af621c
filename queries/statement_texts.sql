-- Texts of statements not seen before, as many of them as fit into so many characters. One that several roles ran comes as often.
-- privilege: pg_read_all_stats · cost: the server reads its whole text file once, so it is asked seldom · since: 14
SELECT /* pgadvisor */ t.queryid, t.text
FROM (
    SELECT s.queryid, pg_catalog.left(s.query, 100001) AS text,
        -- in the order in which they come: sorting texts would cost more than all the rest
        pg_catalog.sum(pg_catalog.length(pg_catalog.left(s.query, 100001))) OVER (ROWS UNBOUNDED PRECEDING) AS characters
    FROM {schema}.pg_stat_statements(true) AS s
    -- a text that the server has lost is NULL
    WHERE s.queryid = ANY ($1) AND s.query IS NOT NULL
) AS t
WHERE t.characters <= $2 OR pg_catalog.length(t.text) = t.characters
