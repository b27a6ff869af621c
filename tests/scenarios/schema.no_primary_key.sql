CREATE TABLE keyed (id int PRIMARY KEY);
INSERT INTO keyed VALUES (1);
CREATE TABLE holds_nothing (a int);
CREATE TABLE days (day int, id int, PRIMARY KEY (day, id)) PARTITION BY LIST (day);
CREATE TABLE days_1 PARTITION OF days FOR VALUES IN (1);
INSERT INTO days VALUES (1, 1);
ANALYZE;
-- expect nothing
CREATE TABLE bare (a int NOT NULL, b text);
INSERT INTO bare SELECT i, 'b' FROM generate_series(1, 10) i;
CREATE UNIQUE INDEX bare_b ON bare (a, (b || 'x'));
CREATE UNIQUE INDEX bare_part ON bare (a) WHERE a > 5;
CREATE UNIQUE INDEX bare_back ON bare (a DESC);
CREATE UNIQUE INDEX bare_a ON bare (a);
CREATE TABLE identified (a int NOT NULL, b int);
INSERT INTO identified VALUES (1, 1);
CREATE UNIQUE INDEX identified_a ON identified (a);
ALTER TABLE identified REPLICA IDENTITY USING INDEX identified_a;
ALTER TABLE identified CLUSTER ON identified_a;
CREATE TABLE measured (day int, value int) PARTITION BY LIST (day);
CREATE TABLE measured_1 PARTITION OF measured FOR VALUES IN (1);
INSERT INTO measured SELECT 1, i FROM generate_series(1, 10) i;
CREATE TABLE published (a int UNIQUE);
CREATE PUBLICATION outwards FOR TABLE published, identified;
CREATE SCHEMA shown;
CREATE TABLE shown.by_schema (a int);
CREATE UNLOGGED TABLE shown.unlogged (a int);
-- publications of schemas came with 15
DO $$ BEGIN EXECUTE 'CREATE PUBLICATION of_schema FOR '
    || CASE WHEN current_setting('server_version_num')::int >= 150000 THEN 'TABLES IN SCHEMA shown' ELSE 'TABLE shown.by_schema' END; END $$;
-- expect schema.no_primary_key on public.bare saying ALTER TABLE public.bare ADD PRIMARY KEY USING INDEX bare_a
-- expect schema.no_primary_key on public.bare saying "severity":"info"
-- expect schema.no_primary_key on public.measured saying no primary key
-- expect no schema.no_primary_key on public.measured_1
-- expect schema.no_primary_key on public.published saying "severity":"warning"
-- expect schema.no_primary_key on public.published saying published_a_key keeps a unique
-- expect schema.no_primary_key on shown.by_schema saying "severity":"warning"
-- expect no schema.no_primary_key on shown.unlogged
-- expect no schema.no_primary_key on public.keyed
-- expect no schema.no_primary_key on public.days
-- expect no schema.no_primary_key on public.holds_nothing
-- what the table says of its index goes with the key, and is said again
-- expect schema.no_primary_key on public.identified saying ALTER TABLE public.identified REPLICA IDENTITY USING INDEX identified_a
-- expect no schema.no_primary_key on public.bare saying REPLICA IDENTITY
ALTER TABLE public.identified ADD PRIMARY KEY USING INDEX identified_a;
ALTER TABLE public.identified REPLICA IDENTITY FULL;
ALTER TABLE public.identified DROP CONSTRAINT identified_a;
UPDATE identified SET b = 2;
CREATE UNIQUE INDEX CONCURRENTLY identified_a ON public.identified USING btree (a);
ALTER TABLE public.identified REPLICA IDENTITY USING INDEX identified_a;
ALTER TABLE public.identified CLUSTER ON identified_a;
UPDATE identified SET b = 3;
ALTER TABLE public.identified ADD PRIMARY KEY USING INDEX identified_a;
-- set warning_rows = 10
-- expect schema.no_primary_key on public.bare saying "severity":"warning"
ALTER TABLE public.bare ADD PRIMARY KEY USING INDEX bare_a;
-- and back
ALTER TABLE public.bare DROP CONSTRAINT bare_a;
CREATE UNIQUE INDEX CONCURRENTLY bare_a ON public.bare USING btree (a);
ALTER TABLE public.bare ADD PRIMARY KEY USING INDEX bare_a;
DROP TABLE measured, published;
DROP SCHEMA shown CASCADE;
-- look
-- at +20 min
-- expect nothing
