-- what: how long the evidence of a problem must be gone before it resolves, in milliseconds, where the configuration said another
-- time than its rule's for it when it was seen last: of what is gone nobody can tell whether it is meant.
ALTER TABLE finding ADD COLUMN clear_milliseconds INTEGER;
