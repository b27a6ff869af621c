-- what: who held others up, and transactions that were old: a row for each, extended by every look that still saw it. identity: the
-- same while it lasts. ended_at: the first look that saw it no more. body: who it was as of the last look that saw it, with the
-- greatest numbers of all of them.
CREATE TABLE incident (
    id           INTEGER PRIMARY KEY,
    server       TEXT    NOT NULL,
    kind         TEXT    NOT NULL CHECK (kind IN ('blocking', 'old_transaction')),
    identity     TEXT    NOT NULL,
    began_at     INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    ended_at     INTEGER,
    body         TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX incident_open ON incident (server, kind, identity) WHERE ended_at IS NULL;
CREATE INDEX incident_seen ON incident (server, kind, last_seen_at);
CREATE INDEX incident_old ON incident (last_seen_at);
