-- People who do not exist: told by the custodians, counted and taken out by the publication.

CREATE OR REPLACE FUNCTION content.seal_people(p_run_id text, p_as_of date, p_people jsonb, p_event text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_custodian text;
    v_count bigint;
BEGIN
    SELECT c.custodian INTO v_custodian FROM content.custodian AS c WHERE c.loader_role = session_user FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'not a loader of content' USING ERRCODE = 'NL007';
    END IF;
    -- A run has deliveries from its publication on; the ledger itself shows a custodian's login nothing.
    IF EXISTS (SELECT FROM linkage.run_delivery AS d WHERE d.run_id = p_run_id) THEN
        RAISE EXCEPTION 'the night is published' USING ERRCODE = 'NL003';
    END IF;
    DELETE FROM sealed.person AS p WHERE p.run_id = p_run_id AND p.custodian = v_custodian;
    INSERT INTO sealed.person (custodian, run_id, record, canary)
    SELECT v_custodian, p_run_id, n.record, n.canary FROM jsonb_to_recordset(p_people) AS n (record uuid, canary integer);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    PERFORM audit.check_event(p_event, jsonb_build_object('kind', 'people_sealed', 'run_id', p_run_id,
        'custodian', v_custodian, 'as_of', p_as_of, 'people', v_count));
    PERFORM audit.append_event(p_event);
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION content.seal_people IS
    'Name the people of this custodian''s delivery of a night who do not exist, in place of those named before; not once the night is published.';

-- Called by publish_run when the staged links are the current ones and before readers' pseudonyms are made.
CREATE OR REPLACE FUNCTION linkage.unseal_run(p_run linkage.link_run, OUT links bigint, OUT members bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_entities uuid[];
BEGIN
    links := 0;
    members := 0;
    IF NOT EXISTS (SELECT FROM sealed.person AS p WHERE p.run_id = p_run.run_id AND p.custodian = ANY (p_run.custodians)) THEN
        RETURN;
    END IF;
    WITH gone AS (
        DELETE FROM linkage.link AS l USING (
            SELECT k.link_id, a.record AS sealed_a, b.record AS sealed_b
              FROM linkage.link AS k
              LEFT JOIN sealed.person AS a ON a.run_id = p_run.run_id AND a.custodian = k.custodian_a AND a.record = k.record_a
              LEFT JOIN sealed.person AS b ON b.run_id = p_run.run_id AND b.custodian = k.custodian_b AND b.record = k.record_b
             WHERE k.project = p_run.project AND k.opened_by_run = p_run.run_id AND k.valid_to = 'infinity'
               AND (a.record IS NOT NULL OR b.record IS NOT NULL)) AS s
         WHERE l.link_id = s.link_id RETURNING l AS link, s.sealed_a, s.sealed_b)
    INSERT INTO sealed.link (run_id, project, of_a, of_b, decision, leaf, leaf_named, sealed_a, sealed_b)
    SELECT p_run.run_id, p_run.project, (g.link).custodian_a, (g.link).custodian_b, (g.link).decision, linkage.link_leaf(g.link, false), linkage.link_leaf(g.link, true),
           g.sealed_a, g.sealed_b
      FROM gone AS g ORDER BY 6;
    GET DIAGNOSTICS links = ROW_COUNT;
    -- An entity that holds nobody else any more goes with them; one that was there before has ended.
    SELECT coalesce(array_agg(e.entity_id), '{}') INTO v_entities FROM (
        SELECT m.entity_id FROM linkage.entity_member AS m
          LEFT JOIN sealed.person AS p ON p.run_id = p_run.run_id AND p.custodian = m.custodian AND p.record = m.record
         WHERE m.project = p_run.project AND m.valid_to = 'infinity'
         GROUP BY m.entity_id HAVING count(p.record) > 0 AND count(*) - count(p.record) < 2) AS e;
    WITH mine AS (
        SELECT m.ctid AS row, m.opened_by_run = p_run.run_id AS is_new
          FROM linkage.entity_member AS m
          LEFT JOIN sealed.person AS p ON p.run_id = p_run.run_id AND p.custodian = m.custodian AND p.record = m.record
         WHERE m.project = p_run.project AND m.valid_to = 'infinity'
           AND (p.record IS NOT NULL OR m.entity_id = ANY (v_entities))),
    told AS (
        INSERT INTO sealed.member (run_id, project, leaf)
        SELECT p_run.run_id, p_run.project, linkage.member_leaf(m) FROM linkage.entity_member AS m JOIN mine ON mine.row = m.ctid
         ORDER BY 3 RETURNING 1),
    ended AS (
        UPDATE linkage.entity_member AS m SET valid_to = p_run.as_of, closed_by_run = p_run.run_id
          FROM mine WHERE mine.row = m.ctid AND NOT mine.is_new RETURNING m.entity_id),
    removed AS (
        DELETE FROM linkage.entity_member AS m USING mine WHERE mine.row = m.ctid AND mine.is_new RETURNING 1),
    change AS (
        INSERT INTO linkage.entity_change (project, run_id, as_of, entity_id, change, other_entity_id)
        SELECT DISTINCT p_run.project, p_run.run_id, p_run.as_of, e.entity_id, 'dissolved', NULL::uuid FROM ended AS e
        RETURNING 1)
    SELECT count(*) INTO members FROM told;
    -- What gave way to such a link was withdrawn: readers see nothing else that it would be linked to.
    UPDATE linkage.link AS l SET closed_because = 'withdrawn'
     WHERE l.project = p_run.project AND l.closed_by_run = p_run.run_id AND l.closed_because = 'relinked'
       AND NOT EXISTS (SELECT FROM linkage.link AS k WHERE k.project = p_run.project AND k.valid_to = 'infinity'
            AND k.custodian_a = l.custodian_a AND k.custodian_b = l.custodian_b
            AND (k.record_a = l.record_a OR k.record_b = l.record_b));
    DELETE FROM review.pair AS q USING sealed.person AS p
     WHERE q.project = p_run.project AND q.last_run = p_run.run_id AND p.run_id = p_run.run_id
       AND ((p.custodian = q.custodian_a AND p.record = q.record_a) OR (p.custodian = q.custodian_b AND p.record = q.record_b));
    PERFORM linkage.count_unsealed(p_run);
END
$$;
COMMENT ON FUNCTION linkage.unseal_run IS
    'Take the people who do not exist out of a night''s links, entities and reviews, and count what became of them.';

CREATE OR REPLACE FUNCTION linkage.count_unsealed(p_run linkage.link_run) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO linkage.unsealed (run_id, custodian_a, custodian_b, sealed_a, sealed_b, null_a, null_b,
        null_matched_a, null_matched_b, canary_pairs, canary_matches, matches_left)
    SELECT p_run.run_id, a.custodian, b.custodian, a.people, b.people, a.nulls, b.nulls,
           (SELECT count(*) FROM sealed.person AS p JOIN sealed.link AS s ON s.sealed_a = p.record AND s.run_id = p.run_id
             WHERE p.run_id = p_run.run_id AND p.custodian = a.custodian AND p.canary IS NULL AND s.decision = 'match'
               AND s.of_b = b.custodian AND s.sealed_b IS NULL),
           (SELECT count(*) FROM sealed.person AS p JOIN sealed.link AS s ON s.sealed_b = p.record AND s.run_id = p.run_id
             WHERE p.run_id = p_run.run_id AND p.custodian = b.custodian AND p.canary IS NULL AND s.decision = 'match'
               AND s.of_a = a.custodian AND s.sealed_a IS NULL),
           (SELECT count(*) FROM sealed.person AS x JOIN sealed.person AS y USING (run_id, canary)
             WHERE x.run_id = p_run.run_id AND x.custodian = a.custodian AND y.custodian = b.custodian),
           (SELECT count(*) FROM sealed.person AS x JOIN sealed.person AS y USING (run_id, canary)
              JOIN sealed.link AS s ON s.run_id = x.run_id AND s.sealed_a = x.record AND s.sealed_b = y.record
             WHERE x.run_id = p_run.run_id AND x.custodian = a.custodian AND y.custodian = b.custodian
               AND s.decision = 'match'),
           (SELECT count(*) FROM linkage.link AS l WHERE l.project = p_run.project AND l.valid_to = 'infinity'
               AND l.decision = 'match' AND l.custodian_a = a.custodian AND l.custodian_b = b.custodian)
      FROM (SELECT c.custodian, c.place, count(p.record) AS people, count(p.record) - count(p.canary) AS nulls
              FROM unnest(p_run.custodians) WITH ORDINALITY AS c (custodian, place)
              LEFT JOIN sealed.person AS p ON p.run_id = p_run.run_id AND p.custodian = c.custodian
             GROUP BY c.custodian, c.place) AS a
      JOIN (SELECT c.custodian, c.place, count(p.record) AS people, count(p.record) - count(p.canary) AS nulls
              FROM unnest(p_run.custodians) WITH ORDINALITY AS c (custodian, place)
              LEFT JOIN sealed.person AS p ON p.run_id = p_run.run_id AND p.custodian = c.custodian
             GROUP BY c.custodian, c.place) AS b ON a.place < b.place
     WHERE a.people + b.people > 0
$$;

CREATE OR REPLACE FUNCTION linkage.record_unsealed(p_run_id text, p_fence bigint, p_estimates jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_run linkage.link_run := linkage.check_fence(p_run_id, p_fence);
BEGIN
    INSERT INTO linkage.quality_estimate (run_id, custodian_a, custodian_b, measure, estimator, value, low, high, basis)
    SELECT v_run.run_id, e.custodian_a, e.custodian_b, e.measure, e.estimator, e.value, e.low, e.high, e.basis
      FROM jsonb_to_recordset(p_estimates) AS e (custodian_a text, custodian_b text, measure text, estimator text,
        value double precision, low double precision, high double precision, basis bigint)
     WHERE e.estimator IN ('null_people', 'canary_pairs');
END
$$;
COMMENT ON FUNCTION linkage.record_unsealed IS 'Keep the estimates that were made of a night''s unsealed counts.';
