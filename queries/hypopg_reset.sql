-- Forgets all hypothetical indexes of this session.
-- privilege: none · cost: little · since: 14
SELECT /* pgadvisor */ {schema}.hypopg_reset()::text AS reset
