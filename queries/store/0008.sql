-- what: the plans of the costliest statements, without constants: a row for each shape that the plan of a statement had, and
-- why a statement was not planned. since: since when the shape was seen without another one between. Costs are the planner's
-- units. body: the plan as it was seen last.
CREATE TABLE statement_plan (
    server        TEXT    NOT NULL,
    database      TEXT    NOT NULL,
    statement_id  TEXT    NOT NULL,
    shape         TEXT    NOT NULL,
    first_seen_at INTEGER NOT NULL,
    since         INTEGER NOT NULL,
    last_seen_at  INTEGER NOT NULL,
    first_cost    REAL    NOT NULL,
    cost          REAL    NOT NULL,
    body          TEXT    NOT NULL,
    PRIMARY KEY (server, database, statement_id, shape)
) STRICT;
CREATE INDEX statement_plan_seen ON statement_plan (server, database, last_seen_at);

CREATE TABLE statement_unplanned (
    server        TEXT    NOT NULL,
    database      TEXT    NOT NULL,
    statement_id  TEXT    NOT NULL,
    last_seen_at  INTEGER NOT NULL,
    reason        TEXT    NOT NULL,
    PRIMARY KEY (server, database, statement_id)
) STRICT;
CREATE INDEX statement_unplanned_seen ON statement_unplanned (server, database, last_seen_at);
