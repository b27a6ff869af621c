DO ${tag}$
DECLARE
    extension CONSTANT text := '{extension}';
    login CONSTANT text := {login};
    search_path CONSTANT text := pg_catalog.current_setting('search_path');
    home oid;
    name text;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_extension AS e WHERE e.extname = extension) THEN
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_available_extensions AS a WHERE a.name = extension) THEN
            RAISE WARNING 'the extension % is not there to be created: install its package on the server, then run this again', extension;
            PERFORM pg_catalog.set_config('search_path', search_path, true);
            RETURN;
        END IF;
        name := 'public';
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'public') THEN
            name := 'extensions';
            EXECUTE pg_catalog.format('CREATE SCHEMA IF NOT EXISTS %I', name);
        END IF;
        EXECUTE pg_catalog.format('CREATE EXTENSION IF NOT EXISTS %I SCHEMA %I', extension, name);
    END IF;
    SELECT n.oid, n.nspname INTO home, name FROM pg_catalog.pg_extension AS e
        JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = extension;
    IF NOT pg_catalog.has_schema_privilege(login::pg_catalog.name, home, 'USAGE') THEN
        BEGIN
            EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA %I TO %I', name, login);
        EXCEPTION WHEN insufficient_privilege OR invalid_schema_name OR undefined_object THEN
            RAISE WARNING 'schema %: %', name, sqlerrm;
        END;
    END IF;
    PERFORM pg_catalog.set_config('search_path', search_path, true);
END
${tag}$
