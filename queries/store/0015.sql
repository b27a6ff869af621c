-- what: an index that a standby scans is looked for by its OID, which is that of its primary.
CREATE INDEX index_usage_oid ON index_usage (server, database, oid);
