-- Making a source database of the demo or a test. {names} are filled in by the driver, quoted.

-- name: describe_database
SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = {name}

-- name: drop_database
DROP DATABASE {database} WITH (FORCE)

-- name: create_database
CREATE DATABASE {database} TEMPLATE template0

-- name: mark_database
COMMENT ON DATABASE {database} IS {mark}

-- name: set_password
-- A verifier, never the password itself.
ALTER ROLE {role} PASSWORD {verifier}

-- name: copy_rows
COPY {table} ({columns}) FROM STDIN (FORMAT csv)

-- name: analyze_table
ANALYZE {table}
