-- Encodings that were deleted, as the audit log knows them: the linkage unit's own, and custodians' by their signed word.
--
-- Notes. One row for each delivery and party, so that a deletion is logged once however often a night is run.
CREATE TABLE linkage.deleted_encodings (
    project         text        NOT NULL REFERENCES linkage.project,
    custodian       text        NOT NULL,
    manifest_sha256 text        NOT NULL CHECK (manifest_sha256 ~ '^[0-9a-f]{64}$'),
    deleted_at      text        NOT NULL CHECK (deleted_at IN ('custodian', 'linkage_unit')),
    key_epoch       text        NOT NULL,
    audit_sequence  bigint      NOT NULL REFERENCES audit.event,
    recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (project, custodian, manifest_sha256, deleted_at)
);
COMMENT ON TABLE linkage.deleted_encodings IS
    'Deliveries whose encodings a custodian, or the linkage unit, deleted, each with the audit event that says so.';
