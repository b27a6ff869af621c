ALTER SYSTEM SET random_page_cost = 1.1;
ALTER SYSTEM SET effective_io_concurrency = 200;
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
-- no server tells of its storage
-- expect skipped because storage = "ssd"
-- declare storage = "ssd"
-- expect nothing
ALTER SYSTEM RESET random_page_cost;
ALTER SYSTEM SET effective_io_concurrency = 1;
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
-- expect config.random_page_cost on random_page_cost saying ALTER SYSTEM SET random_page_cost = '1.1'
-- expect config.random_page_cost on effective_io_concurrency saying ALTER SYSTEM SET effective_io_concurrency = '200'
