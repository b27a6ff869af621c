-- All databases, with the age of their oldest transaction id and the last reset of their statistics.
-- privilege: none · cost: one row a database · since: 14
SELECT /* pgadvisor */
    d.oid, d.datname::text AS name, d.datallowconn AS allows_connections, d.datistemplate AS is_template,
    pg_catalog.age(d.datfrozenxid)::int8 AS frozen_xid_age,
    pg_catalog.pg_stat_get_db_blocks_hit(d.oid) AS blocks_hit,
    pg_catalog.pg_stat_get_db_blocks_fetched(d.oid) - pg_catalog.pg_stat_get_db_blocks_hit(d.oid) AS blocks_read,
    pg_catalog.pg_stat_get_db_stat_reset_time(d.oid) AS statistics_reset_at,
    pg_catalog.has_database_privilege(d.oid, 'CONNECT') AS may_connect
FROM pg_catalog.pg_database AS d
ORDER BY d.datname
