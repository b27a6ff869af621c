-- What statistics say of the values of columns ($1 schemas, $2 tables, $3 columns): the commonest ones, and the bounds of equal parts
-- of the rest.
-- privilege: SELECT on the columns · cost: a row a column · since: 14
SELECT /* pgadvisor */
    a.schema, a.name, a.column_name, s.most_common_vals::text::text[] AS common, s.histogram_bounds::text::text[] AS bounds
FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[])) AS a (schema, name, column_name)
JOIN pg_catalog.pg_stats AS s ON s.schemaname = a.schema AND s.tablename = a.name AND s.attname = a.column_name
-- of a partitioned table's columns those of the whole
ORDER BY s.inherited
LIMIT 10000
