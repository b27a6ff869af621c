-- what: what is known of the problems of a primary, for the standby that takes its place under another name: a problem keeps
-- what people said of it and since when it is there. A row waits until the problem is seen on the server of its fingerprint.
CREATE TABLE finding_before (
    fingerprint     TEXT    NOT NULL PRIMARY KEY,
    server_before   TEXT    NOT NULL,
    state           TEXT    NOT NULL,
    acknowledged_by TEXT,
    snoozed_until   INTEGER,
    first_seen_at   INTEGER NOT NULL,
    handed_on_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
