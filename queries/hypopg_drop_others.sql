-- Drops the hypothetical indexes that a failed statement left behind: they do not go away with its transaction.
-- Asked of the function, since the view hypopg_list_indexes is not granted to everybody.
-- privilege: none · cost: little · since: 14
SELECT /* pgadvisor */ {schema}.hypopg_drop_index(i.indexrelid) AS dropped
FROM {schema}.hypopg() AS i
WHERE i.indexrelid <> ALL ($1)
