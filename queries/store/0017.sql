-- what: what was known of a problem on the primary whose place a server took, under another name. It waits beside the row of the
-- problem on this server, and goes with it where the problem proves not to be there.
CREATE TABLE finding_before (
    fingerprint     TEXT    NOT NULL PRIMARY KEY REFERENCES finding (fingerprint) ON DELETE CASCADE,
    server_before   TEXT    NOT NULL,
    severity        TEXT    NOT NULL,
    state           TEXT    NOT NULL,
    acknowledged_by TEXT,
    snoozed_until   INTEGER,
    first_seen_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
