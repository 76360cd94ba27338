-- The content loaders' only doors. Who the custodian is, the login says: session_user cannot be chosen by a caller.

CREATE OR REPLACE FUNCTION content.empty_staging() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM content.admission_staging WHERE loader = session_user;
    DELETE FROM content.dispensing_staging WHERE loader = session_user;
$$;
COMMENT ON FUNCTION content.empty_staging IS 'Remove what this login staged and never published.';

CREATE OR REPLACE FUNCTION content.publish_content(
    p_run_id text, p_as_of date, p_digest text, p_row_count bigint, p_event text, OUT status text, OUT audit_sequence bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_custodian text;
    v_current content.content_delivery;
    v_delivery_id bigint;
    v_erased uuid[];
BEGIN
    SELECT c.custodian INTO v_custodian FROM content.custodian AS c WHERE c.loader_role = session_user FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'not a loader of content' USING ERRCODE = 'NL007';
    END IF;
    -- Only the newest version may be taken for the same: the rows of older ones may be gone.
    SELECT d.audit_sequence INTO audit_sequence FROM content.content_delivery AS d
     WHERE d.custodian = v_custodian AND d.run_id = p_run_id AND d.digest = p_digest AND d.delivery_id =
        (SELECT max(newest.delivery_id) FROM content.content_delivery AS newest WHERE newest.custodian = v_custodian);
    IF FOUND THEN
        status := 'unchanged';
        PERFORM content.empty_staging();
        RETURN;
    END IF;
    SELECT d.* INTO v_current FROM content.current_delivery AS c
      JOIN content.content_delivery AS d USING (delivery_id) WHERE c.custodian = v_custodian;
    IF p_as_of < v_current.as_of THEN
        RAISE EXCEPTION 'content of a later day is published' USING ERRCODE = 'NL003';
    END IF;
    PERFORM content.check_staging(p_row_count);
    PERFORM audit.check_event(p_event, jsonb_build_object('kind', 'content_loaded', 'run_id', p_run_id,
        'custodian', v_custodian, 'as_of', p_as_of, 'manifest_sha256', p_digest));
    SELECT a.sequence INTO audit_sequence FROM audit.append_event(p_event) AS a;
    -- Who was erased does not come back with the next full delivery. Asked once and kept: within the DELETEs a planner
    -- that last saw the staging tables empty asks anew for every row.
    v_erased := ARRAY(SELECT linkage.suppressed_records(v_custodian, ARRAY(
        SELECT s.record_pseudonym FROM content.admission_staging AS s WHERE s.loader = session_user UNION
        SELECT s.record_pseudonym FROM content.dispensing_staging AS s WHERE s.loader = session_user)));
    DELETE FROM content.admission_staging AS s WHERE s.loader = session_user AND s.record_pseudonym = ANY (v_erased);
    DELETE FROM content.dispensing_staging AS s WHERE s.loader = session_user AND s.record_pseudonym = ANY (v_erased);
    INSERT INTO content.content_delivery (custodian, run_id, as_of, digest, row_count, audit_sequence)
    VALUES (v_custodian, p_run_id, p_as_of, p_digest, p_row_count, audit_sequence) RETURNING delivery_id INTO v_delivery_id;
    PERFORM content.move_staging(v_delivery_id);
    -- The version that is served stays; those that no night published, and those before it, go now.
    DELETE FROM content.admission AS a USING content.content_delivery AS d WHERE d.delivery_id = a.delivery_id
       AND d.custodian = v_custodian AND d.delivery_id NOT IN (v_delivery_id, coalesce(v_current.delivery_id, 0));
    DELETE FROM content.dispensing AS a USING content.content_delivery AS d WHERE d.delivery_id = a.delivery_id
       AND d.custodian = v_custodian AND d.delivery_id NOT IN (v_delivery_id, coalesce(v_current.delivery_id, 0));
    ANALYZE content.admission, content.dispensing;
    status := 'loaded';
END
$$;
COMMENT ON FUNCTION content.publish_content IS
    'Take the rows that this login staged in this transaction as its custodian''s content of a night, with an audit event. They are served once linkage.publish_run publishes that night.';

CREATE OR REPLACE FUNCTION content.check_staging(p_row_count bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_staged bigint;
    v_lacking bigint;
BEGIN
    -- Counts, not constraints: a violated constraint would quote the row.
    SELECT count(*), count(*) FILTER (WHERE lacking) INTO v_staged, v_lacking FROM (
        SELECT record_pseudonym IS NULL OR admitted IS NULL AS lacking
          FROM content.admission_staging WHERE loader = session_user
        UNION ALL
        SELECT record_pseudonym IS NULL OR dispensed IS NULL OR atc_code IS NULL
          FROM content.dispensing_staging WHERE loader = session_user) AS staged;
    IF v_staged <> p_row_count OR v_lacking > 0 THEN
        RAISE EXCEPTION 'staging is incomplete' USING ERRCODE = 'NL008';
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION content.move_staging(p_delivery_id bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO content.admission (delivery_id, record_pseudonym, admitted, discharged, diagnosis_code)
    SELECT p_delivery_id, record_pseudonym, admitted, discharged, diagnosis_code
      FROM content.admission_staging WHERE loader = session_user;
    INSERT INTO content.dispensing (delivery_id, record_pseudonym, dispensed, atc_code, quantity)
    SELECT p_delivery_id, record_pseudonym, dispensed, atc_code, quantity
      FROM content.dispensing_staging WHERE loader = session_user;
    SELECT content.empty_staging();
$$;
