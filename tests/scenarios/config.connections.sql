-- session A:
BEGIN;
-- session main:
SELECT 1;
-- declare cores = 2
-- look
-- at +6 min
-- one of 47 connections, and 50 of the 108 that two cores may have
-- expect nothing
-- set warning_ratio = 0.01
-- set connections_base = 10
-- look
-- it has to last five minutes
-- expect nothing
-- at +12 min
-- expect config.connections saying idle in transaction
-- expect config.connections on max_connections saying unless one is there
