CREATE TABLE parent (x int, "Y" int, PRIMARY KEY (x, "Y"));
CREATE TABLE child ("A" int, b int, n int, CHECK (b >= 0));
INSERT INTO parent VALUES (1, 1);
INSERT INTO child VALUES (1, 1, 1), (2, 2, -1), (NULL, 3, NULL);
ALTER TABLE child ADD CONSTRAINT positive CHECK (n > 0) NOT VALID;
ALTER TABLE child ADD CONSTRAINT "to parent" FOREIGN KEY ("A", b) REFERENCES parent NOT VALID;
-- from 18 on
ALTER TABLE child ADD CONSTRAINT n_there NOT NULL n NOT VALID -- fails
;
CREATE TABLE days (day int, n int) PARTITION BY LIST (day);
CREATE TABLE days_1 PARTITION OF days FOR VALUES IN (1);
ALTER TABLE days ADD CONSTRAINT small CHECK (n < 10) NOT VALID;
CREATE DOMAIN amount AS int;
CREATE DOMAIN "Large" AS amount;
CREATE TABLE paid (a amount, l "Large");
INSERT INTO paid VALUES (-1, 1);
ALTER DOMAIN amount ADD CONSTRAINT above CHECK (VALUE > 0) NOT VALID;
ALTER DOMAIN amount ADD CONSTRAINT below CHECK (VALUE < 1000);
-- a migration validates in a step of its own
-- look
-- at +6 days
-- expect nothing
-- at +8 days
-- expect schema.constraint_not_valid on public.positive saying ALTER TABLE public.child VALIDATE CONSTRAINT positive
-- expect schema.constraint_not_valid on public.to parent saying NOT EXISTS (SELECT FROM ONLY public.parent AS p
-- expect schema.constraint_not_valid on public.small saying ALTER TABLE public.days VALIDATE CONSTRAINT small
-- expect no schema.constraint_not_valid on public.small saying days_1
-- expect no schema.constraint_not_valid on public.child_b_check
-- expect schema.constraint_not_valid on public.above saying ALTER DOMAIN public.amount VALIDATE CONSTRAINT above
-- expect schema.constraint_not_valid on public.above saying "lock":"SHARE"
-- expect no schema.constraint_not_valid on public.below
DELETE FROM paid;
ALTER DOMAIN public.amount VALIDATE CONSTRAINT above;
DELETE FROM child WHERE NOT (n > 0) OR n IS NULL;
ALTER TABLE public.child VALIDATE CONSTRAINT positive;
ALTER TABLE public.child VALIDATE CONSTRAINT "to parent";
ALTER TABLE public.child VALIDATE CONSTRAINT n_there -- fails
;
ALTER TABLE public.days VALIDATE CONSTRAINT small;
-- look
-- at +9 days
-- expect nothing
