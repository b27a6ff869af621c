-- Where some sequences stand. Each is locked until the transaction ends, and its page is read: so only a few are asked at a time.
-- privilege: USAGE or SELECT on each · cost: one page and one lock a sequence · since: 14
SELECT /* pgadvisor */ o.oid, pg_catalog.pg_sequence_last_value(o.oid) AS last_value
FROM pg_catalog.unnest($1) AS o (oid)
WHERE EXISTS (SELECT FROM pg_catalog.pg_sequence AS s WHERE s.seqrelid = o.oid)
