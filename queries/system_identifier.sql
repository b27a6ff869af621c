-- What a server shares with its standbys and with no other server.
-- privilege: EXECUTE on pg_control_system, which everybody has unless it was taken away · cost: one small file · since: 14
SELECT /* pgadvisor */ c.system_identifier::text AS system_identifier FROM pg_catalog.pg_control_system() AS c
