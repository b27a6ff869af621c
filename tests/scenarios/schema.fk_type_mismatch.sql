CREATE TABLE parent (id bigint PRIMARY KEY, small int UNIQUE, number numeric(10,0) UNIQUE, code varchar(10) UNIQUE, seen timestamptz UNIQUE);
-- what differs and does no harm
CREATE TABLE well (
    id bigint REFERENCES parent,
    small bigint REFERENCES parent (small),
    code varchar(20) REFERENCES parent (code),
    words text REFERENCES parent (code)
);
CREATE DOMAIN key AS int;
CREATE TABLE of_domain (small key REFERENCES parent (small));
-- expect nothing
CREATE TABLE badly (
    id int CONSTRAINT narrow REFERENCES parent,
    number int CONSTRAINT converted REFERENCES parent (number),
    code char(10) CONSTRAINT padded REFERENCES parent (code),
    seen date CONSTRAINT moment REFERENCES parent (seen)
);
-- expect schema.fk_type_mismatch on public.narrow saying ALTER TABLE public.badly ALTER COLUMN id TYPE bigint
-- expect schema.fk_type_mismatch on public.converted saying ALTER COLUMN number TYPE numeric(10,0)
-- expect schema.fk_type_mismatch on public.padded saying code is character(10) and code is character varying(10)
-- expect schema.fk_type_mismatch on public.moment saying time zone of each session
-- what PostgreSQL would refuse is not given to be run
CREATE TABLE viewed (id int CONSTRAINT viewed_fk REFERENCES parent);
CREATE VIEW of_viewed AS SELECT id FROM viewed;
-- expect schema.fk_type_mismatch on public.viewed_fk saying while these use it: view public.of_viewed.
-- expect schema.fk_type_mismatch on public.viewed_fk saying "apply_sql":[]
DROP VIEW of_viewed;
-- expect schema.fk_type_mismatch on public.viewed_fk saying "apply_sql":["ALTER TABLE public.viewed ALTER COLUMN id TYPE bigint"]
DROP TABLE viewed;
-- a domain is taken for what it is over, and not given away
CREATE TABLE of_narrow (id key CONSTRAINT of_narrow_fk REFERENCES parent);
-- expect schema.fk_type_mismatch on public.of_narrow_fk saying (a domain over integer) and id is bigint
-- expect schema.fk_type_mismatch on public.of_narrow_fk saying "apply_sql":[]
DROP TABLE of_narrow;
-- a key of one partition, and one of a whole whose columns are free
CREATE TABLE whole (id int, number int, day int) PARTITION BY LIST (day);
CREATE TABLE whole_1 PARTITION OF whole FOR VALUES IN (1);
ALTER TABLE whole_1 ADD CONSTRAINT of_a_part FOREIGN KEY (id) REFERENCES parent;
ALTER TABLE whole ADD CONSTRAINT of_the_whole FOREIGN KEY (number) REFERENCES parent (number);
-- expect schema.fk_type_mismatch on public.of_a_part saying public.whole_1.id is inherited
-- expect schema.fk_type_mismatch on public.of_a_part saying "apply_sql":[]
-- expect no schema.fk_type_mismatch on public.of_a_part saying ALTER TABLE
-- expect schema.fk_type_mismatch on public.of_the_whole saying "apply_sql":["ALTER TABLE public.whole ALTER COLUMN number TYPE numeric(10,0)"]
DROP TABLE whole;
-- rows that are values of another table's column, and a table OF a type
CREATE TABLE held (id int CONSTRAINT held_fk REFERENCES parent);
CREATE TABLE holds (row_held held);
CREATE TYPE shaped AS (id int);
CREATE TABLE typed OF shaped;
ALTER TABLE typed ADD CONSTRAINT typed_fk FOREIGN KEY (id) REFERENCES parent;
-- expect schema.fk_type_mismatch on public.held_fk saying while these use it: column public.holds.row_held of rows of public.held.
-- expect schema.fk_type_mismatch on public.held_fk saying "apply_sql":[]
-- expect schema.fk_type_mismatch on public.typed_fk saying while these use it: type public.shaped that public.typed is OF.
-- expect schema.fk_type_mismatch on public.typed_fk saying "apply_sql":[]
DROP TABLE holds;
ALTER TABLE typed NOT OF;
-- expect schema.fk_type_mismatch on public.held_fk saying "apply_sql":["ALTER TABLE public.held ALTER COLUMN id TYPE bigint"]
-- expect schema.fk_type_mismatch on public.typed_fk saying "apply_sql":["ALTER TABLE public.typed ALTER COLUMN id TYPE bigint"]
DROP TABLE held;
DROP TABLE typed;
DROP TYPE shaped;
ALTER TABLE public.badly ALTER COLUMN id TYPE bigint;
ALTER TABLE public.badly ALTER COLUMN number TYPE numeric(10,0);
ALTER TABLE public.badly ALTER COLUMN code TYPE character varying(10);
ALTER TABLE public.badly ALTER COLUMN seen TYPE timestamp with time zone;
-- look
-- at +20 min
-- expect nothing
