-- what: one history for statements, tables, indexes and waits, and how tables and indexes are now.
-- A place is what is looked at as a whole: statements and waits of a server (database is empty), tables or indexes of a
-- database. Each look adds one row to a place with what its subjects did since the look before (packed, see
-- src/store/pack.rs). When an hour is over, its minutes are added up twice: by time (what every subject did in the hour,
-- and in the day), for lists; by subject (the hours of a day in one row), for charts.
CREATE TABLE history_place (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    server   TEXT NOT NULL,
    family   TEXT NOT NULL CHECK (family IN ('statement', 'table', 'index', 'wait')),
    database TEXT NOT NULL,
    UNIQUE (server, family, database)
) STRICT;

-- name: a statement_id, schema and name of a relation or what a session waited for as JSON. text: of a statement.
CREATE TABLE history_subject (
    -- never given twice: minutes name it
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    place    INTEGER NOT NULL REFERENCES history_place (id) ON DELETE CASCADE,
    database TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    text     TEXT    NOT NULL,
    UNIQUE (place, database, name)
) STRICT;

CREATE TABLE history_minute (
    id      INTEGER PRIMARY KEY,
    place   INTEGER NOT NULL REFERENCES history_place (id) ON DELETE CASCADE,
    at      INTEGER NOT NULL,
    seconds REAL    NOT NULL,
    body    BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX history_minute_at ON history_minute (place, at);

-- How many seconds of an hour were looked at: an hour that is missing is a gap in every chart. hour: hours since 1970.
-- body: what every subject did; none where that is in the days alone.
CREATE TABLE history_hour (
    id      INTEGER PRIMARY KEY,
    place   INTEGER NOT NULL REFERENCES history_place (id) ON DELETE CASCADE,
    hour    INTEGER NOT NULL,
    seconds REAL    NOT NULL,
    body    BLOB
) STRICT;
CREATE UNIQUE INDEX history_hour_hour ON history_hour (place, hour);
CREATE INDEX history_hour_old ON history_hour (hour);
CREATE INDEX history_hour_body ON history_hour (hour) WHERE body IS NOT NULL;

-- What every subject did on a day (days since 1970 in UTC), as far as it is rolled up.
CREATE TABLE history_total (
    id    INTEGER PRIMARY KEY,
    place INTEGER NOT NULL REFERENCES history_place (id) ON DELETE CASCADE,
    day   INTEGER NOT NULL,
    body  BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX history_total_day ON history_total (place, day);
CREATE INDEX history_total_old ON history_total (day);

-- hours: packed.
CREATE TABLE history_day (
    day     INTEGER NOT NULL,
    subject INTEGER NOT NULL REFERENCES history_subject (id) ON DELETE CASCADE,
    hours   BLOB    NOT NULL,
    PRIMARY KEY (day, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX history_day_subject ON history_day (subject);

-- Tables and indexes as they were at the last look at their names.
CREATE TABLE table_now (
    server             TEXT NOT NULL,
    database           TEXT NOT NULL,
    schema             TEXT NOT NULL,
    name               TEXT NOT NULL,
    bytes              INTEGER NOT NULL,
    -- dead rows ÷ those at which autovacuum starts
    dead_rows_ratio    REAL    NOT NULL,
    body               TEXT NOT NULL,
    PRIMARY KEY (server, database, schema, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX table_now_bytes ON table_now (server, database, bytes);
CREATE INDEX table_now_dead_rows ON table_now (server, database, dead_rows_ratio);

CREATE TABLE index_now (
    server     TEXT NOT NULL,
    database   TEXT NOT NULL,
    schema     TEXT NOT NULL,
    name       TEXT NOT NULL,
    table_name TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    idle_since INTEGER,
    body       TEXT NOT NULL,
    PRIMARY KEY (server, database, schema, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX index_now_bytes ON index_now (server, database, bytes);
CREATE INDEX index_now_table ON index_now (server, database, schema, table_name);

-- the history of statements that is there
INSERT INTO history_place (server, family, database)
    SELECT server, 'statement', '' FROM statement UNION SELECT server, 'statement', '' FROM statement_minute;
INSERT INTO history_subject (id, place, database, name, text)
    SELECT s.id, p.id, s.database, s.statement_id, s.text FROM statement AS s
    JOIN history_place AS p ON p.server = s.server AND p.family = 'statement';
INSERT INTO history_minute (place, at, seconds, body)
    SELECT p.id, m.at, m.seconds, m.body FROM statement_minute AS m
    JOIN history_place AS p ON p.server = m.server AND p.family = 'statement';
-- hours of which the minutes are there are rolled up again, since they have no body yet; not the oldest, which lost some
INSERT INTO history_hour (place, hour, seconds)
    SELECT p.id, h.hour, h.seconds FROM statement_hour AS h
    JOIN history_place AS p ON p.server = h.server AND p.family = 'statement'
    WHERE (p.id, h.hour) NOT IN (
        SELECT m.place, m.at / 3600000000 FROM history_minute AS m GROUP BY 1, 2
        EXCEPT SELECT m.place, min(m.at) / 3600000000 FROM history_minute AS m GROUP BY 1);
INSERT INTO history_day (day, subject, hours) SELECT day, statement, hours FROM statement_day ORDER BY day, statement;
DROP TABLE statement_day;
DROP TABLE statement_hour;
DROP TABLE statement_minute;
DROP TABLE statement;
