-- The audit log becomes a Merkle tree (RFC 6962), and its entries say who and when inside what is hashed.
--
-- Notes. Until now each entry was chained to the one before. A tree gives the same, and proofs of a few hashes that one
-- entry is in the log and that a longer log begins with a shorter one, so that custodians can keep signed checkpoints.
-- Entries of a log that exists are kept: each is wrapped with the time that was recorded beside it, "by":"unknown", and
-- hashed anew, and so are the runs' references to them. audit.node holds the complete nodes only: they never change.
CREATE TABLE audit.node (
    level    integer NOT NULL CHECK (level BETWEEN 0 AND 62),
    position bigint  NOT NULL CHECK (position >= 0),
    hash     bytea   NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (level, position)
);
COMMENT ON TABLE audit.node IS
    'The complete nodes of the Merkle tree over audit.event: (0, n - 1) is the leaf of entry n. The key keeps the log from forking, whatever a future lock forgets.';

DROP TRIGGER IF EXISTS insert_only ON audit.event;
ALTER TABLE audit.event ADD COLUMN entry text CHECK (octet_length(entry) BETWEEN 2 AND 1100000);
UPDATE audit.event SET entry = '{"at":"' || to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    || '","by":"unknown","event":' || event || '}';
ALTER TABLE audit.event ALTER COLUMN entry SET NOT NULL;
-- The policies of roles/row_security.sql may not be there yet, and without one the owner would see no run.
ALTER TABLE linkage.link_run NO FORCE ROW LEVEL SECURITY;
DO $$
DECLARE
    v_row record;
    v_level integer;
    v_position bigint;
    v_hash bytea;
BEGIN
    FOR v_row IN SELECT sequence, entry FROM audit.event ORDER BY sequence LOOP
        v_level := 0;
        v_position := v_row.sequence - 1;
        v_hash := sha256('\x00'::bytea || convert_to(v_row.entry, 'UTF8'));
        UPDATE linkage.link_run SET audit_event_hash = v_hash WHERE audit_sequence = v_row.sequence;
        LOOP
            INSERT INTO audit.node (level, position, hash) VALUES (v_level, v_position, v_hash);
            EXIT WHEN v_position % 2 = 0;
            SELECT sha256('\x01'::bytea || n.hash || v_hash) INTO STRICT v_hash
              FROM audit.node AS n WHERE n.level = v_level AND n.position = v_position - 1;
            v_level := v_level + 1;
            v_position := v_position / 2;
        END LOOP;
    END LOOP;
END
$$;
ALTER TABLE linkage.link_run FORCE ROW LEVEL SECURITY;
ALTER TABLE audit.event DROP COLUMN previous_hash, DROP COLUMN event_hash, DROP COLUMN event, DROP COLUMN recorded_at;
COMMENT ON TABLE audit.event IS 'One canonical entry per change: when, by which login role, and the event.';
COMMENT ON COLUMN linkage.link_run.audit_event_hash IS 'The Merkle leaf hash of the run''s audit entry.';
