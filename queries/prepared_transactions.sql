-- Transactions that were prepared and are neither committed nor rolled back yet, oldest first.
-- privilege: none · cost: one row each · since: 14
SELECT /* pgadvisor */ p.gid, p.owner::text AS owner, p.database::text AS database, p.prepared AS prepared_at, pg_catalog.age(p.transaction)::int8 AS xid_age
FROM pg_catalog.pg_prepared_xacts AS p
ORDER BY p.prepared, p.gid
LIMIT 1000
