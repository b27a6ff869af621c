DO ${tag}$
DECLARE
    observer CONSTANT text := {observer};
    search_path CONSTANT text := pg_catalog.current_setting('search_path');
    name text;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    FOR name IN SELECT n.nspname FROM pg_catalog.pg_namespace AS n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' LOOP
        BEGIN
            EXECUTE pg_catalog.format('GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO %I', name, observer);
        EXCEPTION WHEN insufficient_privilege OR invalid_schema_name OR undefined_object THEN
            RAISE WARNING 'schema %: %', name, sqlerrm;
        END;
    END LOOP;
    FOR name IN {creators} LOOP
        BEGIN
            EXECUTE pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT SELECT ON SEQUENCES TO %I', name, observer);
        EXCEPTION WHEN insufficient_privilege OR invalid_schema_name OR undefined_object THEN
            RAISE WARNING 'what % creates later: %', name, sqlerrm;
        END;
    END LOOP;
    PERFORM pg_catalog.set_config('search_path', search_path, true);
END
${tag}$
