-- what: what each finding costs in its narrow row, so that many are counted and added up without reading their words.
ALTER TABLE finding ADD COLUMN db_seconds_per_day REAL;
ALTER TABLE finding ADD COLUMN bytes REAL;
ALTER TABLE finding ADD COLUMN days_left REAL;
UPDATE finding SET
    db_seconds_per_day = json_extract(claim.body, '$.impact.db_seconds_per_day'),
    bytes = json_extract(claim.body, '$.impact.bytes'),
    days_left = json_extract(claim.body, '$.impact.days_left')
    FROM claim WHERE claim.fingerprint = finding.fingerprint;
