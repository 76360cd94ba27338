-- Deletions of encodings, as the audit log is told.

-- name: known_deletions
SELECT d.custodian, d.manifest_sha256, d.deleted_at FROM linkage.deleted_encodings AS d WHERE d.project = :project;

-- name: record_deletion
SELECT linkage.record_deleted_encodings(:project, :custodian, :manifest_sha256, :deleted_at, :key_epoch, :event);
