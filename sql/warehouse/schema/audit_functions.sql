-- The log's only way in, and the refusal of every way to change it.

CREATE OR REPLACE FUNCTION audit.append_event(p_event text, OUT sequence bigint, OUT event_hash bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_previous bytea;
BEGIN
    -- One writer at a time, to the end of its transaction; readers are not held up.
    LOCK TABLE audit.event IN SHARE ROW EXCLUSIVE MODE;
    SELECT e.sequence, e.event_hash INTO sequence, v_previous
      FROM audit.event AS e ORDER BY e.sequence DESC LIMIT 1;
    sequence := coalesce(sequence, 0) + 1;
    v_previous := coalesce(v_previous, decode(repeat('00', 32), 'hex'));
    event_hash := sha256('\x00'::bytea || v_previous || convert_to(p_event, 'UTF8'));
    INSERT INTO audit.event (sequence, previous_hash, event, event_hash)
    VALUES (sequence, v_previous, p_event, event_hash);
END
$$;
COMMENT ON FUNCTION audit.append_event(text) IS
    'Append one canonical event to the chain. Granted to nobody: the functions that write call it.';

CREATE OR REPLACE FUNCTION audit.check_event(p_event text, p_expected jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT coalesce(p_event::jsonb @> p_expected, false) THEN
        RAISE EXCEPTION 'the event tells of something else' USING ERRCODE = 'NL010';
    END IF;
EXCEPTION WHEN invalid_text_representation OR untranslatable_character THEN
    RAISE EXCEPTION 'the event is no JSON' USING ERRCODE = 'NL010';
END
$$;
COMMENT ON FUNCTION audit.check_event IS
    'Refuse an event that does not say what its transaction does: a writer can leave nothing out and forge no other kind.';

CREATE OR REPLACE FUNCTION audit.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is insert-only' USING ERRCODE = 'NL009';
END
$$;

CREATE OR REPLACE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.event
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
