-- what: runs of one view are found without reading those of others, and what they took together without reading them.
ALTER TABLE refresh_run ADD COLUMN elapsed_seconds REAL;
ALTER TABLE refresh_run ADD COLUMN held_up_seconds REAL;
UPDATE refresh_run SET elapsed_seconds = json_extract(body, '$.elapsed_seconds'), held_up_seconds = json_extract(body, '$.held_up_seconds');
CREATE INDEX refresh_run_view_ended_at ON refresh_run (server, database, schema, name, ended_at);
CREATE INDEX refresh_run_made ON refresh_run (server, ended_at, database, schema, name, elapsed_seconds, held_up_seconds)
    WHERE outcome IN ('refreshed', 'failed', 'cancelled');
