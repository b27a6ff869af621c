SELECT r.rolname FROM pg_catalog.pg_roles AS r
        WHERE r.oid IN (SELECT c.relowner FROM pg_catalog.pg_class AS c WHERE c.relkind IN ({kinds}) AND c.oid >= 16384)
            OR (r.rolname !~ '^pg_' AND pg_catalog.pg_has_role(r.oid, 'USAGE') AND (
                r.rolname = current_user
                OR r.oid IN (SELECT d.datdba FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
                OR r.oid IN (SELECT n.nspowner FROM pg_catalog.pg_namespace AS n)
                OR r.oid IN (SELECT a.grantee FROM pg_catalog.pg_namespace AS n, pg_catalog.aclexplode(n.nspacl) AS a
                    WHERE a.privilege_type = 'CREATE')))
