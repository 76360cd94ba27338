-- The linkage loader's only doors. Each is SECURITY DEFINER (it runs as warehouse_owner) with its search path pinned.
--
-- Errors of ours, which sql/warehouse/ledger.py turns into codes:
--   NL001 fenced          a newer attempt or run began or published
--   NL002 other run       the run id is known with another project, day or custodians
--   NL003 older night     a later day is already published
--   NL004 incomplete      staging does not hold the number of links announced
--   NL005 deliveries      not one delivery of each custodian
--   NL006 equivocation    a sequence number of a custodian stands for two different deliveries
--   NL007 unknown         no such run, or not a loader of content
--   NL008 content count   staging does not hold the number of content rows announced, or a row lacks a value
--   NL009 insert-only     an attempt to change the audit log
--   NL010 other event     the audit event does not say what the publication did

CREATE OR REPLACE FUNCTION linkage.begin_run(
    p_run_id text, p_project text, p_as_of date, p_custodians text[], p_resolution text,
    p_protocol_version integer, p_protocol_fingerprint text, p_key_epoch text, p_code_version text,
    OUT fence bigint, OUT status text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_run linkage.link_run;
    v_head_as_of date;
BEGIN
    INSERT INTO linkage.project (project) VALUES (p_project) ON CONFLICT DO NOTHING;
    PERFORM 1 FROM linkage.project AS p WHERE p.project = p_project FOR UPDATE;
    SELECT * INTO v_run FROM linkage.link_run AS r WHERE r.run_id = p_run_id;
    IF FOUND THEN
        IF (v_run.project, v_run.as_of, v_run.custodians) IS DISTINCT FROM (p_project, p_as_of, p_custodians) THEN
            RAISE EXCEPTION 'run id of another night' USING ERRCODE = 'NL002';
        END IF;
        IF v_run.status = 'published' THEN  -- nothing to do, nothing changes
            fence := v_run.fence;
            status := v_run.status;
            RETURN;
        END IF;
    END IF;
    SELECT r.as_of INTO v_head_as_of
      FROM linkage.project AS p JOIN linkage.link_run AS r ON r.run_id = p.head_run WHERE p.project = p_project;
    IF p_as_of < v_head_as_of THEN
        RAISE EXCEPTION 'a later day is published' USING ERRCODE = 'NL003';
    END IF;
    UPDATE linkage.project AS p SET last_fence = p.last_fence + 1 WHERE p.project = p_project
        RETURNING p.last_fence INTO fence;
    -- What runs that died left behind.
    DELETE FROM linkage.link_staging AS s USING linkage.link_run AS r
     WHERE r.run_id = s.run_id AND r.project = p_project;
    DELETE FROM linkage.entity_staging AS s USING linkage.link_run AS r
     WHERE r.run_id = s.run_id AND r.project = p_project;
    DELETE FROM linkage.epoch_staging AS s USING linkage.link_run AS r
     WHERE r.run_id = s.run_id AND r.project = p_project;
    UPDATE linkage.link_run AS r SET status = 'failed', failure_code = 'E-RUN-FENCED', finished_at = clock_timestamp()
     WHERE r.project = p_project AND r.status = 'running' AND r.run_id <> p_run_id;
    INSERT INTO linkage.link_run AS r (run_id, project, as_of, custodian_a, custodian_b, custodians, resolution, fence,
        status, protocol_version, protocol_fingerprint, key_epoch, code_version)
    VALUES (p_run_id, p_project, p_as_of, p_custodians[1], p_custodians[2], p_custodians, p_resolution, fence,
        'running', p_protocol_version, p_protocol_fingerprint, p_key_epoch, p_code_version)
    ON CONFLICT (run_id) DO UPDATE SET fence = excluded.fence, status = 'running', failure_code = NULL,
        attempts = r.attempts + 1, resolution = excluded.resolution, protocol_version = excluded.protocol_version,
        protocol_fingerprint = excluded.protocol_fingerprint, key_epoch = excluded.key_epoch,
        code_version = excluded.code_version, started_at = clock_timestamp(), finished_at = NULL,
        audit_sequence = NULL, audit_event_hash = NULL;
    status := 'running';
END
$$;
COMMENT ON FUNCTION linkage.begin_run IS
    'Enter a run and hand out a fence above all before it. A published run is left as it is: status says so.';

CREATE OR REPLACE FUNCTION linkage.check_fence(p_run_id text, p_fence bigint) RETURNS linkage.link_run
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_run linkage.link_run;
    v_project linkage.project;
BEGIN
    -- The project first, as begin_run does: one order of locks, no deadlock.
    SELECT p.* INTO v_project FROM linkage.project AS p
      JOIN linkage.link_run AS r USING (project) WHERE r.run_id = p_run_id FOR UPDATE OF p;
    SELECT * INTO v_run FROM linkage.link_run AS r WHERE r.run_id = p_run_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such run' USING ERRCODE = 'NL007';
    END IF;
    -- Not only a newer publication fences: a newer start has emptied this run's staging.
    IF v_run.fence <> p_fence OR (v_run.status <> 'published' AND v_project.last_fence <> p_fence) THEN
        RAISE EXCEPTION 'fenced' USING ERRCODE = 'NL001';
    END IF;
    RETURN v_run;
END
$$;

CREATE OR REPLACE FUNCTION linkage.record_deliveries(p_run linkage.link_run, p_deliveries jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_custodians text[];
BEGIN
    SELECT array_agg(d ->> 'custodian' ORDER BY d ->> 'custodian') INTO v_custodians
      FROM jsonb_array_elements(p_deliveries) AS d;
    IF v_custodians IS DISTINCT FROM (SELECT array_agg(c ORDER BY c) FROM unnest(p_run.custodians) AS c) THEN
        RAISE EXCEPTION 'not one delivery of each custodian' USING ERRCODE = 'NL005';
    END IF;
    IF EXISTS (SELECT FROM jsonb_array_elements(p_deliveries) AS d JOIN linkage.delivery AS known
                 ON known.project = p_run.project AND known.custodian = d ->> 'custodian'
                AND known.sequence = (d ->> 'sequence')::bigint
                AND known.manifest_sha256 <> d ->> 'manifest_sha256') THEN
        RAISE EXCEPTION 'one sequence number, two deliveries' USING ERRCODE = 'NL006';
    END IF;
    INSERT INTO linkage.delivery (manifest_sha256, project, custodian, run_id, sequence, as_of, row_count,
        protocol_fingerprint, key_check_value, code_version)
    SELECT d.manifest_sha256, p_run.project, d.custodian, d.run_id, d.sequence, d.as_of, d.row_count,
        d.protocol_fingerprint, d.key_check_value, d.code_version
      FROM jsonb_to_recordset(p_deliveries) AS d (manifest_sha256 text, custodian text, run_id text, sequence bigint,
        as_of date, row_count bigint, protocol_fingerprint text, key_check_value text, code_version text)
    ON CONFLICT (manifest_sha256) DO NOTHING;
    INSERT INTO linkage.run_delivery (run_id, manifest_sha256)
    SELECT p_run.run_id, d ->> 'manifest_sha256' FROM jsonb_array_elements(p_deliveries) AS d;
END
$$;

CREATE OR REPLACE FUNCTION linkage.replace_links(
    p_run linkage.link_run, OUT links_opened bigint, OUT links_closed bigint, OUT links_kept bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_nestloop = off AS $$
DECLARE
    v_one_a boolean := p_run.resolution IN ('one_to_one', 'optimal_one_to_one', 'many_to_one');
    v_one_b boolean := p_run.resolution IN ('one_to_one', 'optimal_one_to_one', 'one_to_many');
BEGIN
    -- An open link that the run does not repeat to the letter ends on the run's day ...
    UPDATE linkage.link AS l SET valid_to = p_run.as_of, closed_by_run = p_run.run_id, closed_because = 'withdrawn'
     WHERE l.project = p_run.project AND l.valid_to = 'infinity' AND NOT EXISTS (
        SELECT FROM linkage.link_staging AS s
         WHERE s.run_id = p_run.run_id AND s.fence = p_run.fence
           AND s.record_a = l.record_a AND s.record_b = l.record_b AND s.decision = l.decision
           AND s.score_band = l.score_band AND s.passes_agreed = l.passes_agreed
           AND s.custodian_a = l.custodian_a AND s.custodian_b = l.custodian_b);
    GET DIAGNOSTICS links_closed = ROW_COUNT;
    PERFORM linkage.explain_closures(p_run);
    -- What is kept keeps the limits of tonight's protocol, which the unique indexes hold it to.
    UPDATE linkage.link AS l SET one_a_record_of_a = v_one_a, one_a_record_of_b = v_one_b
     WHERE l.project = p_run.project AND l.valid_to = 'infinity'
       AND (l.one_a_record_of_a, l.one_a_record_of_b) IS DISTINCT FROM (v_one_a, v_one_b);
    SELECT count(*) INTO links_kept FROM linkage.link AS l WHERE l.project = p_run.project AND l.valid_to = 'infinity';
    -- ... and what is not open now is new. What was open and repeated keeps its link_id.
    INSERT INTO linkage.link (project, custodian_a, record_a, custodian_b, record_b, decision, score_band,
        passes_agreed, one_a_record_of_a, one_a_record_of_b, opened_by_run, valid_from)
    SELECT p_run.project, s.custodian_a, s.record_a, s.custodian_b, s.record_b, s.decision, s.score_band,
           s.passes_agreed, v_one_a, v_one_b, p_run.run_id, p_run.as_of
      FROM linkage.link_staging AS s
     WHERE s.run_id = p_run.run_id AND s.fence = p_run.fence AND NOT EXISTS (
        SELECT FROM linkage.link AS l WHERE l.project = p_run.project AND l.valid_to = 'infinity'
           AND l.record_a = s.record_a AND l.record_b = s.record_b)
     ORDER BY s.record_a, s.record_b;
    GET DIAGNOSTICS links_opened = ROW_COUNT;
END
$$;

CREATE OR REPLACE FUNCTION linkage.keep_leaf() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.leaf := linkage.link_leaf(NEW, true);
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER keep_leaf BEFORE INSERT ON linkage.link FOR EACH ROW EXECUTE FUNCTION linkage.keep_leaf();

CREATE OR REPLACE FUNCTION linkage.explain_closures(p_run linkage.link_run) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_nestloop = off AS $$
BEGIN
    UPDATE linkage.link AS l SET closed_because = 'relinked' FROM linkage.link_staging AS s
     WHERE l.closed_by_run = p_run.run_id AND s.run_id = p_run.run_id AND s.fence = p_run.fence
       AND s.record_a = l.record_a AND s.custodian_a = l.custodian_a AND s.custodian_b = l.custodian_b;
    UPDATE linkage.link AS l SET closed_because = 'relinked' FROM linkage.link_staging AS s
     WHERE l.closed_by_run = p_run.run_id AND s.run_id = p_run.run_id AND s.fence = p_run.fence
       AND s.record_b = l.record_b AND s.custodian_a = l.custodian_a AND s.custodian_b = l.custodian_b;
    UPDATE linkage.link AS l SET closed_because = 'superseded' FROM linkage.link_staging AS s
     WHERE l.closed_by_run = p_run.run_id AND s.run_id = p_run.run_id AND s.fence = p_run.fence
       AND s.record_a = l.record_a AND s.record_b = l.record_b;
END
$$;

-- Between two custodians under one-to-one a match is an entity; other nights stage what the linkage unit joined.
CREATE OR REPLACE FUNCTION linkage.stage_matches_as_entities(p_run_id text, p_fence bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_run linkage.link_run := linkage.check_fence(p_run_id, p_fence);
    v_members bigint;
BEGIN
    INSERT INTO linkage.entity_staging (run_id, fence, entity_id, custodian, record)
    SELECT p_run_id, p_fence, s.record_a, side.custodian, side.record
      FROM linkage.link_staging AS s,
           LATERAL (VALUES (s.custodian_a, s.record_a), (s.custodian_b, s.record_b)) AS side (custodian, record)
     WHERE s.run_id = p_run_id AND s.fence = p_fence AND s.decision = 'match'
       AND cardinality(v_run.custodians) = 2 AND v_run.resolution IN ('one_to_one', 'optimal_one_to_one');
    GET DIAGNOSTICS v_members = ROW_COUNT;
    RETURN v_members;
END
$$;
COMMENT ON FUNCTION linkage.stage_matches_as_entities IS 'Stage the entities of a one-to-one night of two custodians; how many members.';

CREATE OR REPLACE FUNCTION linkage.digest_uuid(p_told text) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT encode(set_byte(set_byte(d, 6, (get_byte(d, 6) & 15) | 128), 8, (get_byte(d, 8) & 63) | 128), 'hex')::uuid
      FROM substring(sha256(convert_to(p_told, 'UTF8')) FROM 1 FOR 16) AS d
$$;
COMMENT ON FUNCTION linkage.digest_uuid IS 'A UUID of version 8 (RFC 9562): 122 bits of a SHA-256.';

CREATE OR REPLACE FUNCTION linkage.carry_entity_ids(p_run_id text, p_fence bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_nestloop = off AS $$
DECLARE
    v_run linkage.link_run := linkage.check_fence(p_run_id, p_fence);
BEGIN
    IF v_run.status <> 'running' THEN
        RAISE EXCEPTION 'fenced' USING ERRCODE = 'NL001';
    END IF;
    ANALYZE linkage.entity_staging;
    ANALYZE linkage.epoch_staging;
    -- In the first night of a key epoch a record continues the one that its custodian says it was.
    -- Each old entity goes where most of its records are now (ties: the lowest staged id); of those that go to one
    -- place, the one with most records there gives its id (ties: the lowest id). What does so is a function of the two
    -- nights' tables alone: no order of rows enters.
    -- Materialized, so that members are met by their records: a planner that knows nothing of them yet (a second night
    -- within the minute) would meet them by custodian alone, each with each.
    WITH continued AS MATERIALIZED (
        SELECT s.entity_id, s.custodian, coalesce(e.former_record, s.record) AS record
          FROM linkage.entity_staging AS s
          LEFT JOIN linkage.epoch_staging AS e ON e.run_id = p_run_id AND e.fence = p_fence
           AND e.record = s.record AND e.custodian = s.custodian
         WHERE s.run_id = p_run_id AND s.fence = p_fence),
    overlap AS (
        SELECT m.entity_id AS old, s.entity_id AS staged, count(*) AS shared
          FROM continued AS s
          JOIN linkage.entity_member AS m ON m.project = v_run.project AND m.valid_to = 'infinity'
           AND m.record = s.record AND m.custodian = s.custodian
         GROUP BY m.entity_id, s.entity_id),
    choice AS (SELECT DISTINCT ON (old) old, staged, shared FROM overlap ORDER BY old, shared DESC, staged),
    heir AS (SELECT DISTINCT ON (staged) staged, old FROM choice ORDER BY staged, shared DESC, old),
    named AS (
        SELECT s.staged, h.old, coalesce(h.old, linkage.digest_uuid(concat_ws('|', v_run.project, p_run_id, s.staged))) AS entity_id
          FROM (SELECT DISTINCT t.entity_id AS staged FROM linkage.entity_staging AS t
                 WHERE t.run_id = p_run_id AND t.fence = p_fence) AS s
          LEFT JOIN heir AS h USING (staged)),
    change AS (
        SELECT c.old AS entity_id, 'merged_into' AS change, n.entity_id AS other
          FROM choice AS c JOIN named AS n USING (staged) WHERE c.old <> n.entity_id
        UNION ALL
        SELECT n.entity_id, 'split_from', o.old FROM named AS n JOIN overlap AS o USING (staged) WHERE n.old IS NULL
        UNION ALL
        SELECT DISTINCT m.entity_id, 'dissolved', NULL::uuid FROM linkage.entity_member AS m
         WHERE m.project = v_run.project AND m.valid_to = 'infinity'
           AND NOT EXISTS (SELECT FROM choice AS c WHERE c.old = m.entity_id)),
    told AS (
        INSERT INTO linkage.entity_change (project, run_id, as_of, entity_id, change, other_entity_id)
        SELECT v_run.project, p_run_id, v_run.as_of, c.entity_id, c.change, c.other FROM change AS c)
    UPDATE linkage.entity_staging AS s SET entity_id = n.entity_id
      FROM named AS n WHERE s.run_id = p_run_id AND s.fence = p_fence AND s.entity_id = n.staged;
END
$$;
COMMENT ON FUNCTION linkage.carry_entity_ids IS
    'Give the staged entities the ids of those that they continue, and record merges, splits and ends; once a publication.';

CREATE OR REPLACE FUNCTION linkage.replace_entities(p_run linkage.link_run) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_nestloop = off AS $$
BEGIN
    UPDATE linkage.entity_member AS m SET valid_to = p_run.as_of, closed_by_run = p_run.run_id
     WHERE m.project = p_run.project AND m.valid_to = 'infinity' AND NOT EXISTS (
        SELECT FROM linkage.entity_staging AS s
         WHERE s.run_id = p_run.run_id AND s.fence = p_run.fence AND s.record = m.record
           AND s.entity_id = m.entity_id AND s.custodian = m.custodian);
    INSERT INTO linkage.entity_member (project, entity_id, custodian, record, opened_by_run, valid_from)
    SELECT p_run.project, s.entity_id, s.custodian, s.record, p_run.run_id, p_run.as_of
      FROM linkage.entity_staging AS s
     WHERE s.run_id = p_run.run_id AND s.fence = p_run.fence AND NOT EXISTS (
        SELECT FROM linkage.entity_member AS m
         WHERE m.project = p_run.project AND m.valid_to = 'infinity' AND m.record = s.record)
     ORDER BY s.entity_id, s.custodian;
END
$$;

-- Who was erased in a former key epoch stays away in this one. Holds are of records too.
CREATE OR REPLACE FUNCTION linkage.carry_suppressions(p_run_id text, p_fence bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO access.suppression (tag)
    SELECT access.suppression_tag(e.custodian, e.record) FROM linkage.epoch_staging AS e
     WHERE e.run_id = p_run_id AND e.fence = p_fence AND EXISTS (SELECT FROM access.suppression)
       AND access.suppression_tag(e.custodian, e.former_record) IN (SELECT s.tag FROM access.suppression AS s)
    ON CONFLICT DO NOTHING;
    INSERT INTO access.legal_hold (project, tag)
    SELECT h.project, access.suppression_tag(e.custodian, e.record)
      FROM linkage.epoch_staging AS e
      JOIN linkage.link_run AS r ON r.run_id = e.run_id
      JOIN access.legal_hold AS h ON h.project = r.project AND h.tag = access.suppression_tag(e.custodian, e.former_record)
     WHERE e.run_id = p_run_id AND e.fence = p_fence
    ON CONFLICT DO NOTHING
$$;

CREATE OR REPLACE FUNCTION linkage.count_carried_holds(p_run_id text, p_fence bigint, OUT held bigint, OUT carried bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH hold AS (SELECT h.tag FROM access.legal_hold AS h JOIN linkage.link_run AS r ON r.project = h.project
                   WHERE r.run_id = p_run_id AND r.fence = p_fence AND h.tag IS NOT NULL)
    SELECT count(*), count(*) FILTER (WHERE hold.tag IN (
        SELECT access.suppression_tag(e.custodian, e.former_record) FROM linkage.epoch_staging AS e
         WHERE e.run_id = p_run_id AND e.fence = p_fence)) FROM hold
$$;
COMMENT ON FUNCTION linkage.count_carried_holds IS
    'How many records of the run''s project are held, and how many of them go on in its key epoch under another pseudonym.';

CREATE OR REPLACE FUNCTION linkage.count_link_changes(
    p_run_id text, p_fence bigint, p_link_count bigint,
    OUT links_opened bigint, OUT links_closed bigint, OUT links_kept bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_nestloop = off AS $$
DECLARE
    v_run linkage.link_run := linkage.check_fence(p_run_id, p_fence);
    v_staged bigint;
    v_open bigint;
BEGIN
    IF v_run.status <> 'running' THEN
        RAISE EXCEPTION 'fenced' USING ERRCODE = 'NL001';
    END IF;
    -- Without statistics of what was just staged the joins below become nested loops: 20 s instead of 0.2 for 8,000 links.
    ANALYZE linkage.link_staging;
    SELECT count(*) INTO v_staged FROM linkage.link_staging AS s WHERE s.run_id = p_run_id AND s.fence = p_fence;
    IF v_staged <> p_link_count THEN
        RAISE EXCEPTION 'staging is incomplete' USING ERRCODE = 'NL004';
    END IF;
    SELECT count(*), count(s.record_a) INTO v_open, links_kept
      FROM linkage.link AS l LEFT JOIN linkage.link_staging AS s
        ON s.run_id = p_run_id AND s.fence = p_fence AND s.record_a = l.record_a AND s.record_b = l.record_b
       AND s.decision = l.decision AND s.score_band = l.score_band AND s.passes_agreed = l.passes_agreed
       AND s.custodian_a = l.custodian_a AND s.custodian_b = l.custodian_b
     WHERE l.project = v_run.project AND l.valid_to = 'infinity';
    links_closed := v_open - links_kept;
    links_opened := v_staged - links_kept;
END
$$;
COMMENT ON FUNCTION linkage.count_link_changes IS
    'What publish_run would do, for its audit event; the project stays locked, so that it stays true to the COMMIT.';

CREATE OR REPLACE FUNCTION linkage.publish_run(
    p_run_id text, p_fence bigint, p_link_count bigint, p_member_count bigint, p_deliveries jsonb, p_counts jsonb,
    p_event text,
    OUT links_opened bigint, OUT links_closed bigint, OUT links_kept bigint,
    OUT audit_sequence bigint, OUT audit_event_hash bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_run linkage.link_run := linkage.check_fence(p_run_id, p_fence);
    v_staged bigint;
    v_unsealed record;
BEGIN
    IF v_run.status <> 'running' THEN
        RAISE EXCEPTION 'fenced' USING ERRCODE = 'NL001';
    END IF;
    SELECT count(*) INTO v_staged FROM linkage.link_staging AS s WHERE s.run_id = p_run_id AND s.fence = p_fence;
    IF v_staged <> p_link_count THEN
        RAISE EXCEPTION 'staging is incomplete' USING ERRCODE = 'NL004';
    END IF;
    SELECT count(*) INTO v_staged FROM linkage.entity_staging AS s WHERE s.run_id = p_run_id AND s.fence = p_fence;
    IF v_staged <> p_member_count THEN
        RAISE EXCEPTION 'staging is incomplete' USING ERRCODE = 'NL004';
    END IF;
    PERFORM linkage.record_deliveries(v_run, p_deliveries);
    SELECT r.links_opened, r.links_closed, r.links_kept INTO links_opened, links_closed, links_kept
      FROM linkage.replace_links(v_run) AS r;
    PERFORM linkage.replace_entities(v_run);
    SELECT * INTO v_unsealed FROM linkage.unseal_run(v_run);  -- readers never see who does not exist
    PERFORM access.name_run(p_run_id);
    PERFORM linkage.carry_suppressions(p_run_id, p_fence);
    DELETE FROM linkage.link_staging AS s WHERE s.run_id = p_run_id;
    DELETE FROM linkage.entity_staging AS s WHERE s.run_id = p_run_id;
    DELETE FROM linkage.epoch_staging AS s WHERE s.run_id = p_run_id;
    -- So that readers' first queries after a night, and a next night within the minute, are planned for what is there.
    ANALYZE linkage.link, linkage.entity_member;
    PERFORM audit.check_event(p_event, jsonb_build_object('kind', 'night_published', 'run_id', p_run_id,
        'project', v_run.project, 'as_of', v_run.as_of, 'fence', p_fence,
        'protocol_fingerprint', v_run.protocol_fingerprint, 'code_version', v_run.code_version,
        'links', jsonb_build_object('opened', links_opened, 'closed', links_closed, 'kept', links_kept),
        'deliveries', (SELECT jsonb_object_agg(d ->> 'custodian', d -> 'manifest_sha256')
                         FROM jsonb_array_elements(p_deliveries) AS d)));
    PERFORM linkage.check_approval(p_run_id, p_event);
    PERFORM linkage.record_quality(p_run_id, p_counts);
    SELECT a.sequence, a.event_hash INTO audit_sequence, audit_event_hash FROM audit.append_event(p_event) AS a;
    IF EXISTS (SELECT FROM linkage.unsealed AS u WHERE u.run_id = p_run_id) THEN
        PERFORM audit.append_event('{"kind":"night_unsealed","links":' || v_unsealed.links || ',"members":'
            || v_unsealed.members || ',"project":' || to_json(v_run.project) || ',"run_id":' || to_json(p_run_id) || '}');
        links_opened := links_opened - v_unsealed.links;  -- from here on: what readers are served
    END IF;
    UPDATE linkage.link_run AS r SET status = 'published', finished_at = clock_timestamp(), counts = p_counts,
        links_opened = publish_run.links_opened, links_closed = publish_run.links_closed,
        links_kept = publish_run.links_kept, audit_sequence = publish_run.audit_sequence,
        audit_event_hash = publish_run.audit_event_hash
     WHERE r.run_id = p_run_id;
    -- Content of this night is served from the same moment as its links: readers never see two nights mixed.
    INSERT INTO content.current_delivery (custodian, delivery_id)
    SELECT d.custodian, max(d.delivery_id) FROM content.content_delivery AS d
     WHERE d.run_id = p_run_id AND d.custodian = ANY (v_run.custodians) GROUP BY d.custodian
    ON CONFLICT (custodian) DO UPDATE SET delivery_id = excluded.delivery_id;
    UPDATE linkage.project AS p SET head_run = p_run_id, head_fence = p_fence
     WHERE p.project = v_run.project AND p.head_fence < p_fence;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'fenced' USING ERRCODE = 'NL001';
    END IF;
END
$$;
COMMENT ON FUNCTION linkage.publish_run IS
    'Make the staged links the current ones, with their deliveries and their audit event; the caller commits.';

CREATE OR REPLACE FUNCTION linkage.fail_run(p_run_id text, p_fence bigint, p_code text, p_event text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_run linkage.link_run := linkage.check_fence(p_run_id, p_fence);
    v_sequence bigint;
    v_hash bytea;
BEGIN
    IF v_run.status <> 'running' THEN  -- published after all, or failed already: nothing changes
        RETURN false;
    END IF;
    PERFORM audit.check_event(p_event, jsonb_build_object('kind', 'run_failed', 'run_id', p_run_id,
        'project', v_run.project, 'code', p_code));
    SELECT a.sequence, a.event_hash INTO v_sequence, v_hash FROM audit.append_event(p_event) AS a;
    UPDATE linkage.link_run AS r SET status = 'failed', failure_code = p_code, finished_at = clock_timestamp(),
        audit_sequence = v_sequence, audit_event_hash = v_hash WHERE r.run_id = p_run_id;
    DELETE FROM linkage.link_staging AS s WHERE s.run_id = p_run_id;
    DELETE FROM linkage.entity_staging AS s WHERE s.run_id = p_run_id;
    RETURN true;
END
$$;
COMMENT ON FUNCTION linkage.fail_run IS 'Enter the failure of a run, with its audit event; what is served stays served.';
