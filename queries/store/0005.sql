-- what: the history of statements, and what was left out in the last turn.
-- A text is kept once. Each look adds one row with what every statement did since the look before (packed, see
-- src/store/pack.rs); each hour those of the hour before become points of an hour in the row of the statement's day.
CREATE TABLE statement (
    -- never given twice: minutes name it
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    server       TEXT    NOT NULL,
    database     TEXT    NOT NULL,
    statement_id TEXT    NOT NULL,
    text         TEXT    NOT NULL,
    UNIQUE (server, database, statement_id)
) STRICT;

CREATE TABLE statement_minute (
    id      INTEGER PRIMARY KEY,
    server  TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    seconds REAL    NOT NULL,
    body    BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX statement_minute_at ON statement_minute (server, at);

-- day: days since 1970 in UTC. hours: packed.
CREATE TABLE statement_day (
    day       INTEGER NOT NULL,
    statement INTEGER NOT NULL REFERENCES statement (id) ON DELETE CASCADE,
    hours     BLOB    NOT NULL,
    PRIMARY KEY (day, statement)
) STRICT, WITHOUT ROWID;
CREATE INDEX statement_day_statement ON statement_day (statement);

-- How many seconds of an hour were looked at: an hour that is missing is a gap in every chart. hour: hours since 1970.
CREATE TABLE statement_hour (
    server  TEXT    NOT NULL,
    hour    INTEGER NOT NULL,
    seconds REAL    NOT NULL,
    PRIMARY KEY (server, hour)
) STRICT, WITHOUT ROWID;

-- What goes on at a server, as of the last look.
CREATE TABLE activity (
    server TEXT NOT NULL PRIMARY KEY,
    body   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE ignored (
    server  TEXT    NOT NULL,
    ordinal INTEGER NOT NULL,
    body    TEXT    NOT NULL,
    PRIMARY KEY (server, ordinal)
) STRICT, WITHOUT ROWID;
