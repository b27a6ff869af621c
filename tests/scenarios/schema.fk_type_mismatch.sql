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
ALTER TABLE public.badly ALTER COLUMN id TYPE bigint;
ALTER TABLE public.badly ALTER COLUMN number TYPE numeric(10,0);
ALTER TABLE public.badly ALTER COLUMN code TYPE character varying(10);
ALTER TABLE public.badly ALTER COLUMN seen TYPE timestamp with time zone;
-- look
-- at +20 min
-- expect nothing
