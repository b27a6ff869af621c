-- what: the first form of the store.
-- Times are microseconds since 1970 in UTC. `database` is '' where a whole server is meant, in the tables where it
-- is part of a key. Bodies are JSON of the types in src/model.

-- Grows with every opening, so that revisions never repeat, not even after a restart.
CREATE TABLE opening (
    number INTEGER NOT NULL
) STRICT;
INSERT INTO opening (number) VALUES (0);

-- One row a problem. state is NULL while the evidence has not yet lasted as long as its rule's hold.
-- The claim stands last because it is long: what does not need it does not read its pages.
CREATE TABLE finding (
    fingerprint         TEXT    NOT NULL PRIMARY KEY,
    server              TEXT    NOT NULL,
    rule                TEXT    NOT NULL,
    database            TEXT,
    severity            TEXT    NOT NULL,
    state               TEXT,
    evidence_since      INTEGER,
    evidence_gone_since INTEGER,
    first_seen_at       INTEGER NOT NULL,
    last_seen_at        INTEGER NOT NULL,
    acknowledged_by     TEXT,
    snoozed_until       INTEGER,
    order_rank          INTEGER NOT NULL,
    order_cost          REAL    NOT NULL,
    order_days          REAL    NOT NULL,
    order_subject       TEXT    NOT NULL,
    subject             TEXT    NOT NULL,
    search              TEXT    NOT NULL,
    claim               TEXT    NOT NULL
) STRICT;
CREATE INDEX finding_server ON finding (server);
CREATE INDEX finding_snoozed ON finding (snoozed_until) WHERE state = 'snoozed';

-- What happened, with the finding as it was then. A sequence is never given twice, not even after pruning.
CREATE TABLE event (
    sequence    INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id    TEXT    NOT NULL UNIQUE,
    fingerprint TEXT    NOT NULL REFERENCES finding (fingerprint),
    rule        TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    occurred_at INTEGER NOT NULL,
    actor       TEXT,
    comment     TEXT,
    finding     TEXT    NOT NULL
) STRICT;
CREATE INDEX event_fingerprint ON event (fingerprint, sequence);
CREATE INDEX event_occurred_at ON event (occurred_at);
CREATE INDEX event_kind ON event (kind, rule);

-- What people asked for. It may name a finding that is not there: then it is refused, and stays for the audit.
CREATE TABLE command (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint  TEXT    NOT NULL,
    action       TEXT    NOT NULL,
    actor        TEXT    NOT NULL,
    comment      TEXT,
    until        INTEGER,
    submitted_at INTEGER NOT NULL,
    applied_at   INTEGER,
    refused      TEXT
) STRICT;
CREATE INDEX command_pending ON command (id) WHERE applied_at IS NULL;

-- The latest outcome of each rule in each place.
CREATE TABLE rule_outcome (
    server   TEXT    NOT NULL,
    rule     TEXT    NOT NULL,
    database TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    body     TEXT    NOT NULL,
    PRIMARY KEY (server, rule, database)
) STRICT, WITHOUT ROWID;

-- What the advisor knows about its own work.
CREATE TABLE look (
    server   TEXT NOT NULL,
    family   TEXT NOT NULL,
    database TEXT NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (server, family, database)
) STRICT, WITHOUT ROWID;

CREATE TABLE gap (
    server  TEXT    NOT NULL,
    ordinal INTEGER NOT NULL,
    body    TEXT    NOT NULL,
    PRIMARY KEY (server, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE server (
    name TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE load_point (
    server        TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    load_sessions REAL,
    PRIMARY KEY (server, at)
) STRICT, WITHOUT ROWID;

-- The use of indexes over restarts and resets of the statistics.
CREATE TABLE index_usage (
    server        TEXT    NOT NULL,
    database      TEXT    NOT NULL,
    schema        TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    oid           INTEGER NOT NULL,
    scans         INTEGER NOT NULL,
    first_seen_at INTEGER NOT NULL,
    last_moved_at INTEGER,
    checked_at    INTEGER NOT NULL,
    PRIMARY KEY (server, database, schema, name)
) STRICT, WITHOUT ROWID;
