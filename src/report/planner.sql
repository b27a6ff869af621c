DO ${tag}$
DECLARE
    planner CONSTANT text := {planner};
    name text;
BEGIN
    FOR name IN SELECT n.nspname FROM pg_catalog.pg_namespace AS n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' LOOP
        EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA %I TO %I', name, planner);
        EXECUTE pg_catalog.format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I', name, planner);
    END LOOP;
    FOR name IN SELECT DISTINCT r.rolname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_roles AS r ON r.oid = c.relowner
        WHERE c.relkind IN ('r', 'p', 'm', 'v') AND c.oid >= 16384 LOOP
        EXECUTE pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT SELECT ON TABLES TO %I', name, planner);
        EXECUTE pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT USAGE ON SCHEMAS TO %I', name, planner);
    END LOOP;
END
${tag}$