-- what: materialized views: what is remembered of each, what the pages show, every run, what people ask for.
-- Whether a view is paused stands beside its memory: a person says it, and whoever refreshes does not write it.
CREATE TABLE refresh_view (
    server    TEXT    NOT NULL,
    database  TEXT    NOT NULL,
    schema    TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    is_paused INTEGER NOT NULL DEFAULT 0,
    memory    TEXT,
    status    TEXT,
    PRIMARY KEY (server, database, schema, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE refresh_run (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    server   TEXT    NOT NULL,
    database TEXT    NOT NULL,
    schema   TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    outcome  TEXT    NOT NULL,
    ended_at INTEGER NOT NULL,
    -- the process that is at it; whoever finds it gone settles the run
    process  TEXT,
    body     TEXT    NOT NULL
) STRICT;
CREATE INDEX refresh_run_view ON refresh_run (server, database, schema, name, id);
CREATE INDEX refresh_run_under_way ON refresh_run (server) WHERE process IS NOT NULL;
CREATE INDEX refresh_run_ended_at ON refresh_run (ended_at);

CREATE TABLE refresh_command (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    server       TEXT    NOT NULL,
    database     TEXT    NOT NULL,
    schema       TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    action       TEXT    NOT NULL,
    actor        TEXT    NOT NULL,
    submitted_at INTEGER NOT NULL,
    applied_at   INTEGER,
    refused      TEXT
) STRICT;
CREATE INDEX refresh_command_pending ON refresh_command (id) WHERE applied_at IS NULL;
