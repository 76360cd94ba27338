-- What migrate.py runs first, every time: where it writes down which migration ran, with the SHA-256 of its text.
CREATE SCHEMA IF NOT EXISTS warehouse;
CREATE TABLE IF NOT EXISTS warehouse.migration (
    number     integer     PRIMARY KEY CHECK (number > 0),
    title      text        NOT NULL,
    sha256     text        NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE IF NOT EXISTS warehouse.definition (
    name       text        PRIMARY KEY,
    sha256     text        NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON SCHEMA warehouse IS 'Which version of the schema this database has.';
COMMENT ON TABLE warehouse.migration IS 'One row per numbered migration, run once and never edited afterwards.';
COMMENT ON TABLE warehouse.definition IS
    'One row per file of functions, views and grants: replaced as a whole whenever one of the files changes.';
