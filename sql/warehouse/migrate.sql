-- What migrate.py asks and writes down.

-- name: wait_our_turn
-- Two migrations at once would both see the same version: the second waits for the first.
SET LOCAL lock_timeout = '5s';
SELECT pg_catalog.pg_advisory_xact_lock(7526763541889019240);

-- name: recorded_migrations
SELECT number, sha256 FROM warehouse.migration ORDER BY number;

-- name: recorded_definitions
SELECT name, sha256 FROM warehouse.definition ORDER BY name;

-- name: record_migration
INSERT INTO warehouse.migration (number, title, sha256) VALUES (:number, :title, :sha256);

-- name: forget_definitions
DELETE FROM warehouse.definition;

-- name: record_definition
INSERT INTO warehouse.definition (name, sha256) VALUES (:name, :sha256);
