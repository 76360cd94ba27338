-- The log's only way in, and the refusal of every way to change it.

CREATE OR REPLACE FUNCTION audit.append_event(p_event text, OUT sequence bigint, OUT event_hash bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_entry text;
    v_level integer := 0;
    v_position bigint;
    v_hash bytea;
BEGIN
    -- One writer at a time, to the end of its transaction; readers are not held up.
    LOCK TABLE audit.event IN SHARE ROW EXCLUSIVE MODE;
    SELECT coalesce(max(e.sequence), 0) + 1 INTO sequence FROM audit.event AS e;
    -- Who and when are the server's words, not the writer's. RFC 8785: keys in order, no spaces.
    v_entry := '{"at":"' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","by":' || to_json(session_user::text) || ',"event":' || p_event || '}';
    INSERT INTO audit.event (sequence, entry) VALUES (sequence, v_entry);
    event_hash := sha256('\x00'::bytea || convert_to(v_entry, 'UTF8'));
    v_hash := event_hash;
    v_position := sequence - 1;
    LOOP
        INSERT INTO audit.node (level, position, hash) VALUES (v_level, v_position, v_hash);
        EXIT WHEN v_position % 2 = 0;  -- a left child: its parent waits for the right one
        SELECT sha256('\x01'::bytea || n.hash || v_hash) INTO STRICT v_hash
          FROM audit.node AS n WHERE n.level = v_level AND n.position = v_position - 1;
        v_level := v_level + 1;
        v_position := v_position / 2;
    END LOOP;
END
$$;
COMMENT ON FUNCTION audit.append_event(text) IS
    'Append one canonical event to the log, as an entry with its writer and time; event_hash is its leaf in the Merkle tree. Granted to nobody: the functions that write call it.';

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
CREATE OR REPLACE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.node
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
