CREATE TABLE t (id int PRIMARY KEY, a int, b text);
CREATE INDEX t_a ON t (a);
CREATE INDEX t_a_desc ON t (a DESC);
CREATE INDEX t_a_part ON t (a) WHERE b IS NULL;
CREATE INDEX t_a_part2 ON t (a) WHERE b IS NOT NULL;
CREATE INDEX t_b ON t (b);
CREATE INDEX t_b_pattern ON t (b text_pattern_ops);
CREATE INDEX t_lower ON t (lower(b));
CREATE INDEX t_a_b ON t (a) INCLUDE (b);
-- expect nothing
CREATE INDEX "T ""again""" ON t (a);
-- expect index.duplicate on public.t_a
DROP INDEX t_a;
CREATE INDEX t_lower_too ON t (lower(b));
-- expect index.duplicate on public.t_lower_too
CREATE INDEX t_id ON t (id);
-- look
-- expect index.duplicate on public.t_id
