-- what: which rules told of something on a server is read by every page about one of its databases.
CREATE INDEX finding_told ON finding (server, rule, database, state);
-- all that it was for the one above serves, too
DROP INDEX finding_server;
