CREATE TABLE t (a int);
CREATE MATERIALIZED VIEW unread AS SELECT a FROM t;
CREATE MATERIALIZED VIEW read AS SELECT a FROM t;
-- set min_refreshing = "0 s"
-- set min_age = "10 days"
-- refresh view = "public.*", every = "1 s", skip_unchanged = false
-- pass
-- expect nothing
-- expect undecided because whether some views are read is not known for 10 days yet
SELECT * FROM read;
-- look
SELECT pg_sleep(1);
-- pass
-- at +9 days
-- expect nothing
-- at +11 days
-- expect matview.unused on public.unread
