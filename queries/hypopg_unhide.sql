-- Shows all real indexes to this session's planner again (HypoPG 1.4).
-- privilege: none · cost: little · since: 14
SELECT /* pgadvisor */ {schema}.hypopg_unhide_all_indexes()::text AS shown
