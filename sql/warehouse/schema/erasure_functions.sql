-- Erasure, retention and holds: the linkage loader's doors. Errors: NL011 a hold forbids it.

CREATE OR REPLACE FUNCTION access.suppression_tag(p_custodian text, p_record uuid) RETURNS uuid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT access.hmac_uuid(k.inner_block, k.outer_block, convert_to(p_custodian, 'UTF8') || '\x00'::bytea || uuid_send(p_record))
      FROM access.suppression_key AS k
$$;

CREATE OR REPLACE FUNCTION access.draw_suppression_key() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_key bytea := sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
BEGIN
    INSERT INTO access.suppression_key (inner_block, outer_block)
    VALUES (access.padded_key(v_key, 54), access.padded_key(v_key, 92)) ON CONFLICT DO NOTHING;
END
$$;

CREATE OR REPLACE FUNCTION linkage.suppressed_records(p_custodian text, p_records uuid[]) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT r FROM access.suppression_key AS k CROSS JOIN unnest(p_records) AS r
     WHERE EXISTS (SELECT FROM access.suppression)
       AND (access.hmac_uuid(k.inner_block, k.outer_block, convert_to(p_custodian, 'UTF8') || '\x00'::bytea || uuid_send(r))
            IN (SELECT s.tag FROM access.suppression AS s)
        -- In the first night of a key epoch, also who was erased under the pseudonym of before.
        OR EXISTS (SELECT FROM linkage.epoch_staging AS e WHERE e.custodian = p_custodian AND e.record = r
             AND access.suppression_tag(e.custodian, e.former_record) IN (SELECT s.tag FROM access.suppression AS s)))
$$;
COMMENT ON FUNCTION linkage.suppressed_records IS
    'Which of a custodian''s records were erased and must not be linked again. Neither the list nor its key can be read.';

CREATE OR REPLACE FUNCTION linkage.anyone_suppressed() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM access.suppression)
$$;
COMMENT ON FUNCTION linkage.anyone_suppressed IS 'Whether any record was erased.';

CREATE OR REPLACE FUNCTION linkage.link_leaf(p_link linkage.link, p_named boolean) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT sha256(convert_to(concat_ws('|', replace(p_link.record_a::text, '-', ''), replace(p_link.record_b::text, '-', ''),
        p_link.decision, p_link.score_band, array_to_string(p_link.passes_agreed, ','),
        CASE WHEN p_named THEN p_link.custodian_a END, CASE WHEN p_named THEN p_link.custodian_b END) || chr(10), 'UTF8'))
$$;
COMMENT ON FUNCTION linkage.link_leaf IS 'SHA-256 of a link''s line, as linkage_core/linkage_unit/link_table.py writes it.';

CREATE OR REPLACE FUNCTION linkage.member_leaf(p_member linkage.entity_member) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT sha256(convert_to(concat_ws('|', replace(p_member.entity_id::text, '-', ''), p_member.custodian,
        replace(p_member.record::text, '-', '')) || chr(10), 'UTF8'))
$$;
COMMENT ON FUNCTION linkage.member_leaf IS 'SHA-256 of an entity member''s line, as linkage_core/linkage_unit/entity_clusters.py writes it.';

-- Rows that are named by their keys leave; their leaves stay for the nights that had them.
CREATE OR REPLACE FUNCTION linkage.bury_links(p_link_ids bigint[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH gone AS (DELETE FROM linkage.link AS l WHERE l.link_id = ANY (p_link_ids) RETURNING l.*)
    INSERT INTO linkage.tombstone (project, kind, leaf, leaf_named, from_fence, until_fence)
    SELECT g.project, 'link', linkage.link_leaf(g, false), linkage.link_leaf(g, true), opened.fence,
           coalesce(closed.fence, (SELECT p.head_fence + 1 FROM linkage.project AS p WHERE p.project = g.project))
      FROM gone AS g
      JOIN linkage.link_run AS opened ON opened.run_id = g.opened_by_run
      LEFT JOIN linkage.link_run AS closed ON closed.run_id = g.closed_by_run
     ORDER BY 3  -- by their digests: the order of the rows tells nothing
$$;

CREATE OR REPLACE FUNCTION linkage.bury_members(p_rows tid[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH gone AS (DELETE FROM linkage.entity_member AS m WHERE m.ctid = ANY (p_rows) RETURNING m.*)
    INSERT INTO linkage.tombstone (project, kind, leaf, leaf_named, from_fence, until_fence)
    SELECT g.project, 'member', linkage.member_leaf(g), linkage.member_leaf(g), opened.fence,
           coalesce(closed.fence, (SELECT p.head_fence + 1 FROM linkage.project AS p WHERE p.project = g.project))
      FROM gone AS g
      JOIN linkage.link_run AS opened ON opened.run_id = g.opened_by_run
      LEFT JOIN linkage.link_run AS closed ON closed.run_id = g.closed_by_run
     ORDER BY 3
$$;

CREATE OR REPLACE FUNCTION linkage.count_erasure(
    p_project text, p_custodian text, p_record uuid,
    OUT links bigint, OUT members bigint, OUT content_rows bigint, OUT erased_before boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM 1 FROM linkage.project AS p WHERE p.project = p_project FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such project' USING ERRCODE = 'NL007';
    END IF;
    PERFORM access.draw_suppression_key();
    IF EXISTS (SELECT FROM access.legal_hold AS h WHERE h.project = p_project
                 AND (h.tag IS NULL OR h.tag = access.suppression_tag(p_custodian, p_record))) THEN
        RAISE EXCEPTION 'held' USING ERRCODE = 'NL011';
    END IF;
    SELECT count(*) INTO links FROM linkage.link AS l
     WHERE l.project = p_project AND ((l.record_a = p_record AND l.custodian_a = p_custodian)
                                   OR (l.record_b = p_record AND l.custodian_b = p_custodian));
    SELECT count(*) INTO members FROM linkage.entity_member AS m
     WHERE m.project = p_project AND m.record = p_record AND m.custodian = p_custodian;
    SELECT (SELECT count(*) FROM content.admission AS a JOIN content.content_delivery AS d USING (delivery_id)
             WHERE d.custodian = p_custodian AND a.record_pseudonym = p_record)
         + (SELECT count(*) FROM content.dispensing AS a JOIN content.content_delivery AS d USING (delivery_id)
             WHERE d.custodian = p_custodian AND a.record_pseudonym = p_record) INTO content_rows;
    SELECT EXISTS (SELECT FROM access.suppression AS s WHERE s.tag = access.suppression_tag(p_custodian, p_record))
      INTO erased_before;
END
$$;
COMMENT ON FUNCTION linkage.count_erasure IS 'What erase_record would do, for its audit event; the project stays locked.';

CREATE OR REPLACE FUNCTION linkage.erase_record(p_project text, p_custodian text, p_record uuid, p_event text)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_count record;
    v_sequence bigint;
BEGIN
    SELECT * INTO v_count FROM linkage.count_erasure(p_project, p_custodian, p_record);
    PERFORM audit.check_event(p_event, jsonb_build_object('kind', 'record_erased', 'project', p_project,
        'custodian', p_custodian, 'links', v_count.links, 'members', v_count.members, 'content_rows', v_count.content_rows));
    PERFORM linkage.bury_links(ARRAY(SELECT l.link_id FROM linkage.link AS l
        WHERE l.project = p_project AND ((l.record_a = p_record AND l.custodian_a = p_custodian)
                                      OR (l.record_b = p_record AND l.custodian_b = p_custodian))));
    PERFORM linkage.bury_members(ARRAY(SELECT m.ctid FROM linkage.entity_member AS m
        WHERE m.project = p_project AND m.record = p_record AND m.custodian = p_custodian));
    DELETE FROM content.admission AS a USING content.content_delivery AS d
     WHERE d.delivery_id = a.delivery_id AND d.custodian = p_custodian AND a.record_pseudonym = p_record;
    DELETE FROM content.dispensing AS a USING content.content_delivery AS d
     WHERE d.delivery_id = a.delivery_id AND d.custodian = p_custodian AND a.record_pseudonym = p_record;
    DELETE FROM access.pseudonym AS p WHERE p.inside = p_record;
    DELETE FROM linkage.link_staging AS s USING linkage.link_run AS r
     WHERE r.run_id = s.run_id AND r.project = p_project AND p_record IN (s.record_a, s.record_b);
    DELETE FROM linkage.entity_staging AS s USING linkage.link_run AS r
     WHERE r.run_id = s.run_id AND r.project = p_project AND s.record = p_record;
    DELETE FROM review.decision AS d USING review.pair AS p WHERE p.pair_id = d.pair_id AND p.project = p_project
       AND ((p.custodian_a = p_custodian AND p.record_a = p_record) OR (p.custodian_b = p_custodian AND p.record_b = p_record));
    DELETE FROM review.pair AS p WHERE p.project = p_project
       AND ((p.custodian_a = p_custodian AND p.record_a = p_record) OR (p.custodian_b = p_custodian AND p.record_b = p_record));
    INSERT INTO access.suppression (tag) VALUES (access.suppression_tag(p_custodian, p_record)) ON CONFLICT DO NOTHING;
    SELECT a.sequence INTO v_sequence FROM audit.append_event(p_event) AS a;
    RETURN v_sequence;
END
$$;
COMMENT ON FUNCTION linkage.erase_record IS
    'Bury a record''s links and memberships, delete its content and pseudonyms, keep it from coming back, and enter one event that does not name it.';

CREATE OR REPLACE FUNCTION linkage.expired_links(p_project text, p_before date) RETURNS SETOF bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT l.link_id FROM linkage.link AS l
     WHERE l.project = p_project AND l.valid_to < p_before
       AND NOT EXISTS (SELECT FROM access.legal_hold AS h WHERE h.project = p_project AND (h.tag IS NULL
            OR h.tag IN (access.suppression_tag(l.custodian_a, l.record_a), access.suppression_tag(l.custodian_b, l.record_b))))
$$;

CREATE OR REPLACE FUNCTION linkage.expired_members(p_project text, p_before date) RETURNS SETOF tid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT m.ctid FROM linkage.entity_member AS m
     WHERE m.project = p_project AND m.valid_to < p_before
       AND NOT EXISTS (SELECT FROM access.legal_hold AS h WHERE h.project = p_project AND (h.tag IS NULL
            OR h.tag = access.suppression_tag(m.custodian, m.record)))
$$;

CREATE OR REPLACE FUNCTION linkage.count_expired(p_project text, p_before date, OUT links bigint, OUT members bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM 1 FROM linkage.project AS p WHERE p.project = p_project FOR UPDATE;
    SELECT count(*) INTO links FROM linkage.expired_links(p_project, p_before);
    SELECT count(*) INTO members FROM linkage.expired_members(p_project, p_before);
END
$$;
COMMENT ON FUNCTION linkage.count_expired IS 'What apply_retention would do, for its audit event; the project stays locked.';

CREATE OR REPLACE FUNCTION linkage.apply_retention(p_project text, p_before date, p_event text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_count record;
    v_sequence bigint;
BEGIN
    SELECT * INTO v_count FROM linkage.count_expired(p_project, p_before);
    PERFORM audit.check_event(p_event, jsonb_build_object('kind', 'retention_applied', 'project', p_project,
        'before', p_before, 'links', v_count.links, 'members', v_count.members));
    PERFORM linkage.bury_links(ARRAY(SELECT linkage.expired_links(p_project, p_before)));
    PERFORM linkage.bury_members(ARRAY(SELECT linkage.expired_members(p_project, p_before)));
    -- A pseudonym of what no link, entity or content names any more has no use.
    DELETE FROM access.pseudonym AS p USING access.linkage_project AS s
     WHERE s.research_id = p.research_id AND s.linkage_project = p_project
       AND NOT EXISTS (SELECT FROM linkage.link AS l WHERE l.record_a = p.inside AND l.project IN
            (SELECT o.linkage_project FROM access.linkage_project AS o WHERE o.research_id = p.research_id))
       AND NOT EXISTS (SELECT FROM linkage.link AS l WHERE l.record_b = p.inside AND l.project IN
            (SELECT o.linkage_project FROM access.linkage_project AS o WHERE o.research_id = p.research_id))
       AND NOT EXISTS (SELECT FROM linkage.entity_member AS m WHERE p.inside IN (m.record, m.entity_id))
       AND NOT EXISTS (SELECT FROM content.admission AS a WHERE a.record_pseudonym = p.inside)
       AND NOT EXISTS (SELECT FROM content.dispensing AS a WHERE a.record_pseudonym = p.inside);
    SELECT a.sequence INTO v_sequence FROM audit.append_event(p_event) AS a;
    RETURN v_sequence;
END
$$;
COMMENT ON FUNCTION linkage.apply_retention IS 'Bury what ended before a day, but for what is held, with its audit event.';

CREATE OR REPLACE FUNCTION linkage.set_hold(p_project text, p_custodian text, p_record uuid, p_held boolean, p_event text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_tag uuid;
BEGIN
    PERFORM 1 FROM linkage.project AS p WHERE p.project = p_project FOR UPDATE;
    PERFORM access.draw_suppression_key();
    v_tag := CASE WHEN p_record IS NOT NULL THEN access.suppression_tag(p_custodian, p_record) END;
    IF p_held = EXISTS (SELECT FROM access.legal_hold AS h WHERE h.project = p_project AND h.tag IS NOT DISTINCT FROM v_tag) THEN
        RETURN false;
    END IF;
    PERFORM audit.check_event(p_event, jsonb_build_object('kind', CASE WHEN p_held THEN 'hold_set' ELSE 'hold_lifted' END,
        'project', p_project, 'scope', CASE WHEN p_record IS NULL THEN 'project' ELSE 'record' END));
    PERFORM audit.append_event(p_event);
    IF p_held THEN
        INSERT INTO access.legal_hold (project, tag) VALUES (p_project, v_tag);
    ELSE
        DELETE FROM access.legal_hold AS h WHERE h.project = p_project AND h.tag IS NOT DISTINCT FROM v_tag;
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION linkage.set_hold IS 'Set or lift a hold of a record, or with NULL of the whole project; false when it was so already.';
