-- Hides real indexes from this session's planner (HypoPG 1.4).
-- privilege: none · cost: little · since: 14
SELECT /* pgadvisor */ {schema}.hypopg_hide_index(o.oid) AS hidden
FROM pg_catalog.unnest($1::oid[]) AS o(oid)
