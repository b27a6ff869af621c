-- what: what the pages of a server and of a table tell beside what is kept already: settings and how databases found their blocks
-- (server_fact), and what rules read of the columns of tables (table_columns).
CREATE TABLE server_fact (
    server TEXT NOT NULL,
    fact   TEXT NOT NULL,
    body   TEXT NOT NULL,
    PRIMARY KEY (server, fact)
) STRICT, WITHOUT ROWID;

CREATE TABLE table_columns (
    server   TEXT NOT NULL,
    database TEXT NOT NULL,
    schema   TEXT NOT NULL,
    name     TEXT NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (server, database, schema, name)
) STRICT, WITHOUT ROWID;
