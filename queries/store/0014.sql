-- what: what was seen of each server as a whole: a row for each look (step 'look') and one for each hour (step 'hour': the highest
-- number of clients, the highest lag, sums of checkpoints and blocks). at: when the time ends for which a row stands, in microseconds;
-- checkpoints_seconds: for how long its checkpoints stand, which are read more seldom. NULL: not known, never zero.
CREATE TABLE server_point (
    server                TEXT    NOT NULL,
    step                  TEXT    NOT NULL CHECK (step IN ('look', 'hour')),
    at                    INTEGER NOT NULL,
    length_seconds        REAL    NOT NULL,
    checkpoints_seconds   REAL,
    clients               INTEGER,
    connections_limit     INTEGER,
    blocks_hit            INTEGER,
    blocks_read           INTEGER,
    checkpoints_timed     INTEGER,
    checkpoints_requested INTEGER,
    replay_lag_seconds    REAL,
    replay_lag_bytes      REAL,
    PRIMARY KEY (server, step, at)
) STRICT, WITHOUT ROWID;

-- what is too old goes, of all servers.
CREATE INDEX server_point_at ON server_point (step, at);
