-- what: what planning by the advisor left behind on a server whose planner's login may not switch off counting: scans of indexes,
-- which are no use (own_scans; unseen: how many of them the server's counter was not yet seen to hold), and the texts of the last
-- day, which may be entries of pg_stat_statements (planned_text; text: a hash). Times in microseconds; first_at, last_at and
-- scanned_before by the server's clock.
CREATE TABLE own_scans (
    server         TEXT    NOT NULL,
    database       TEXT    NOT NULL,
    oid            INTEGER NOT NULL,
    schema         TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    scans          INTEGER NOT NULL,
    unseen         INTEGER NOT NULL,
    first_at       INTEGER NOT NULL,
    last_at        INTEGER NOT NULL,
    scanned_before INTEGER,
    PRIMARY KEY (server, database, oid)
) STRICT, WITHOUT ROWID;

CREATE TABLE planned_text (
    server     TEXT    NOT NULL,
    text       INTEGER NOT NULL,
    planned_at INTEGER NOT NULL,
    PRIMARY KEY (server, text)
) STRICT, WITHOUT ROWID;
