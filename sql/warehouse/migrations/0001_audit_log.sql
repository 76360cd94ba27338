-- The insert-only, hash-chained log of everything that changes what readers see.
--
-- event_hash = sha256(0x00 || previous_hash || event in UTF-8); the first event's previous_hash is 32 zero bytes.
-- Rows come in through audit.append_event alone (schema/audit_functions.sql), called by the functions that write.
CREATE SCHEMA audit;
COMMENT ON SCHEMA audit IS 'The insert-only log of every publication; linkage_core/audit verifies it.';

CREATE TABLE audit.event (
    sequence      bigint      PRIMARY KEY CHECK (sequence > 0),
    previous_hash bytea       NOT NULL UNIQUE CHECK (octet_length(previous_hash) = 32),
    event         text        NOT NULL CHECK (octet_length(event) BETWEEN 2 AND 1048576),
    event_hash    bytea       NOT NULL UNIQUE CHECK (octet_length(event_hash) = 32),
    recorded_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE audit.event IS
    'One canonical event per change. UNIQUE previous_hash: the chain cannot fork, whatever a future lock forgets.';
