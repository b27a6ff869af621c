CREATE TABLE joined (id int);
CREATE TABLE asleep (id int);
INSERT INTO asleep VALUES (1);
SELECT pg_stat_statements_reset();
-- planning is not counted unless somebody asks for it
-- at +2 min
-- expect skipped because track_planning is off
ALTER SYSTEM SET pg_stat_statements.track_planning = on;
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
SELECT pg_stat_statements_reset();
SELECT count(*) FROM joined AS a JOIN joined AS b USING (id) JOIN joined AS c USING (id) JOIN joined AS d USING (id) JOIN joined AS e USING (id) JOIN joined AS f USING (id) JOIN joined AS g USING (id) JOIN joined AS h USING (id);
SELECT pg_sleep(0.05) FROM asleep;
-- some milliseconds are no minute
-- expect nothing
-- set info_planning_per_hour = "2 ms"
-- expect query.planning_heavy saying FROM joined
-- expect no query.planning_heavy saying FROM asleep
