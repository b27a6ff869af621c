DO ${tag}$
DECLARE
    login CONSTANT text := {login};
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname OPERATOR(pg_catalog.=) login::pg_catalog.name) THEN
        RAISE NOTICE 'role % is there already, and stays as it is', login;
    ELSE
        EXECUTE pg_catalog.format('CREATE ROLE %I LOGIN CONNECTION LIMIT {connections}', login);
    END IF;
END
${tag}$
