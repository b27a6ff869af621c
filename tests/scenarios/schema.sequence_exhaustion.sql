-- 2 147 483 647 is the end of an integer: a bigint column takes what its sequence does not give
CREATE TABLE t (id bigint PRIMARY KEY);
CREATE SEQUENCE t_id_seq AS integer OWNED BY t.id;
ALTER TABLE t ALTER COLUMN id SET DEFAULT nextval('t_id_seq');
-- and a column that takes more
CREATE TABLE archive (id numeric PRIMARY KEY DEFAULT nextval('t_id_seq'));
SELECT setval('t_id_seq', 1000000000);
-- one that begins anew never ends
CREATE SEQUENCE around AS smallint CYCLE;
SELECT setval('around', 32767);
-- here the column must change: schema.int_key_overflow says so
CREATE TABLE k (id serial PRIMARY KEY);
SELECT setval('k_id_seq', 2147483647);
-- one that was never used
CREATE SEQUENCE fresh AS smallint START 32767;
-- expect nothing
SELECT setval('t_id_seq', 1100000000);
CREATE SEQUENCE "Down" AS smallint INCREMENT -1;
SELECT setval('"Down"', -32000);
CREATE SEQUENCE by_hand MAXVALUE 100;
SELECT setval('by_hand', 80);
-- expect schema.sequence_exhaustion on public.t_id_seq saying ALTER SEQUENCE public.t_id_seq AS bigint
-- expect schema.sequence_exhaustion on public.t_id_seq saying public.t.id (bigint)
-- expect schema.sequence_exhaustion on public.t_id_seq saying other columns, too: public.archive.id (numeric)
-- expect schema.sequence_exhaustion on public.Down saying has used 97 % of its values
-- expect schema.sequence_exhaustion on public.by_hand saying was set by hand
-- expect schema.sequence_exhaustion on public.by_hand saying has used 80 % of its values
-- expect no schema.sequence_exhaustion on public.around
-- expect no schema.sequence_exhaustion on public.k_id_seq
-- expect no schema.sequence_exhaustion on public.fresh
-- a quarter is used, and at its rate it ends in two weeks
CREATE SEQUENCE fast AS integer;
SELECT setval('fast', 500000000);
-- expect no schema.sequence_exhaustion on public.fast
SELECT setval('fast', 600000000);
-- look
-- at +1 day
-- expect schema.sequence_exhaustion on public.fast saying "severity":"critical"
DROP SEQUENCE fast;
-- a login that may not read them says so, and takes nothing back
-- login stranger
-- expect skipped because GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO stranger
-- expect schema.sequence_exhaustion on public.t_id_seq
GRANT SELECT ON SEQUENCE t_id_seq TO stranger;
-- expect undecided because may not read the last value of some sequences
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO stranger;
ALTER SEQUENCE t_id_seq AS bigint;
DROP SEQUENCE "Down", by_hand;
-- look
-- at +2 days
-- expect nothing
