-- The one role that Nightlink uses here: it reads two tables and can do nothing else. Its password is set
-- apart, by whoever runs the server, so that none stands in a file. May be run again.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hospital_extractor') THEN
        CREATE ROLE hospital_extractor;
    END IF;
    -- By default everybody may connect and make temporary tables
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO hospital_extractor', current_database());
END
$$;
ALTER ROLE hospital_extractor
    LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE hospital_extractor SET default_transaction_read_only = on;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO hospital_extractor;
GRANT SELECT ON patient, admission TO hospital_extractor;
