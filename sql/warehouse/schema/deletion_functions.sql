-- Deleted encodings: the linkage loader's door.

CREATE OR REPLACE FUNCTION linkage.record_deleted_encodings(
    p_project text, p_custodian text, p_manifest_sha256 text, p_deleted_at text, p_key_epoch text, p_event text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_sequence bigint;
BEGIN
    PERFORM 1 FROM linkage.project AS p WHERE p.project = p_project FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such project' USING ERRCODE = 'NL007';
    END IF;
    IF EXISTS (SELECT FROM linkage.deleted_encodings AS d WHERE d.project = p_project AND d.custodian = p_custodian
                 AND d.manifest_sha256 = p_manifest_sha256 AND d.deleted_at = p_deleted_at) THEN
        RETURN false;
    END IF;
    PERFORM audit.check_event(p_event, jsonb_build_object('kind', 'encodings_deleted', 'project', p_project,
        'custodian', p_custodian, 'manifest_sha256', p_manifest_sha256, 'deleted_at', p_deleted_at,
        'key_epoch', p_key_epoch));
    SELECT a.sequence INTO v_sequence FROM audit.append_event(p_event) AS a;
    INSERT INTO linkage.deleted_encodings (project, custodian, manifest_sha256, deleted_at, key_epoch, audit_sequence)
    VALUES (p_project, p_custodian, p_manifest_sha256, p_deleted_at, p_key_epoch, v_sequence);
    RETURN true;
END
$$;
COMMENT ON FUNCTION linkage.record_deleted_encodings IS
    'Enter that the encodings of a delivery were deleted, with its audit event; false when it is known already.';
