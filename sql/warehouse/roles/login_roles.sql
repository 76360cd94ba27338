-- Statements that an administrator runs once per server, for one login role each. {role} is quoted as an identifier
-- and {verifier} as a literal by psycopg2.sql; the verifier is SCRAM's, so no password reaches the server's log.

-- name: role_exists
SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = :role;

-- name: create_role
CREATE ROLE {role};

-- name: set_login
ALTER ROLE {role} WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD {verifier};

-- name: settle_researcher
-- A convenience for researchers, not the fence: what keeps them from writing is that they hold SELECT alone.
ALTER ROLE {role} SET default_transaction_read_only = on;
ALTER ROLE {role} SET statement_timeout = '120s';
ALTER ROLE {role} SET idle_in_transaction_session_timeout = '300s';
ALTER ROLE {role} SET search_path = research;

-- name: database_exists
SELECT 1 FROM pg_catalog.pg_database WHERE datname = :database;

-- name: create_database
CREATE DATABASE {database} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8';

-- name: admit_research
SELECT access.admit_research(:role, :linkage_projects);
