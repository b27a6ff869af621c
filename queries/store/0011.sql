-- what: whose partition a table or an index is (the one at the top: schema and name as JSON), so that lists tell a partitioned
-- one once and not its partitions. subject: the number of a partition in the history, by which a list that begins with what
-- happened leaves it out; null where it has none. Until the next look at the names, nothing is known to be a partition.
ALTER TABLE table_now ADD COLUMN partition_of TEXT;
ALTER TABLE table_now ADD COLUMN subject INTEGER;
DROP INDEX table_now_bytes;
DROP INDEX table_now_dead_rows;
CREATE INDEX table_now_bytes ON table_now (server, database, partition_of, bytes);
CREATE INDEX table_now_dead_rows ON table_now (server, database, partition_of, dead_rows_ratio, bytes);
CREATE INDEX table_now_subject ON table_now (server, database, partition_of, subject) WHERE partition_of IS NOT NULL;

ALTER TABLE index_now ADD COLUMN partition_of TEXT;
ALTER TABLE index_now ADD COLUMN subject INTEGER;
DROP INDEX index_now_bytes;
CREATE INDEX index_now_bytes ON index_now (server, database, partition_of, bytes);
CREATE INDEX index_now_subject ON index_now (server, database, partition_of, subject) WHERE partition_of IS NOT NULL;
