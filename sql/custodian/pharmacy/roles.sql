-- The one role that Nightlink uses here: it reads two tables and can do nothing else. Its password is set
-- apart, by whoever runs the server, so that none stands in a file. May be run again.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pharmacy_extractor') THEN
        CREATE ROLE pharmacy_extractor;
    END IF;
    -- By default everybody may connect and make temporary tables
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO pharmacy_extractor', current_database());
END
$$;
ALTER ROLE pharmacy_extractor
    LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE pharmacy_extractor SET default_transaction_read_only = on;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO pharmacy_extractor;
GRANT SELECT ON customer, dispensing TO pharmacy_extractor;
