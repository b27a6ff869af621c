-- what: the words of a claim in a table of their own, so that a look at an unchanged problem rewrites only its narrow row.
CREATE TABLE claim (
    fingerprint TEXT NOT NULL PRIMARY KEY REFERENCES finding (fingerprint) ON DELETE CASCADE,
    search      TEXT NOT NULL,
    body        TEXT NOT NULL
) STRICT;
INSERT INTO claim (fingerprint, search, body) SELECT fingerprint, search, claim FROM finding WHERE claim <> '';
ALTER TABLE finding DROP COLUMN search;
ALTER TABLE finding DROP COLUMN claim;
