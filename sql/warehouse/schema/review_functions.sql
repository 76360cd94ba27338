-- Quality, held nights and clerical review. Functions for reviewers ask session_user who is there: nobody can name
-- another. They read tables of this schema only, since row-level security shows a reviewer none of the links.
--
-- Errors of ours: NL012 approval, an approval that two persons did not give; NL013 not a reviewer's to decide.

CREATE OR REPLACE FUNCTION linkage.record_quality(p_run_id text, p_counts jsonb) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO linkage.quality_estimate (run_id, custodian_a, custodian_b, measure, estimator, value, low, high, basis)
    SELECT p_run_id, q -> 'custodians' ->> 0, q -> 'custodians' ->> 1, e.measure, e.estimator, (e.told ->> 'value')::double precision,
           (e.told ->> 'low')::double precision, (e.told ->> 'high')::double precision, (e.told ->> 'basis')::bigint
      FROM jsonb_array_elements(coalesce(p_counts -> 'quality', '[]')) AS q, LATERAL (
        SELECT 'precision' AS measure, p.key AS estimator, p.value AS told FROM jsonb_each(q -> 'precision') AS p
        UNION ALL
        SELECT 'recall', 'posteriors', jsonb_build_object('value', q -> 'recall', 'basis', q -> 'matches')
        UNION ALL
        SELECT 'recall', 'recapture', q -> 'recall_range' WHERE jsonb_typeof(q -> 'recall_range') = 'object') AS e
$$;
COMMENT ON FUNCTION linkage.record_quality IS 'Keep a publication''s estimates as rows; called by publish_run.';

CREATE OR REPLACE FUNCTION linkage.hold_night(
    p_run_id text, p_fence bigint, p_findings_sha256 text, p_findings jsonb, p_event text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_run linkage.link_run := linkage.check_fence(p_run_id, p_fence);
BEGIN
    PERFORM audit.check_event(p_event, jsonb_build_object('kind', 'night_held', 'run_id', p_run_id,
        'project', v_run.project, 'findings_sha256', p_findings_sha256));
    INSERT INTO review.held_night (run_id, project, findings_sha256, findings)
    VALUES (p_run_id, v_run.project, p_findings_sha256, p_findings) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM audit.append_event(p_event);
    END IF;
END
$$;
COMMENT ON FUNCTION linkage.hold_night IS 'Enter that a night stopped before publication, and why; once for the same findings.';

CREATE OR REPLACE FUNCTION linkage.check_approval(p_run_id text, p_event text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_approval jsonb := p_event::jsonb -> 'approval';
BEGIN
    IF v_approval IS NOT NULL AND (jsonb_array_length(v_approval -> 'persons') < 2 OR EXISTS (
        SELECT FROM jsonb_array_elements_text(v_approval -> 'persons') AS person WHERE NOT EXISTS (
            SELECT FROM review.approval AS a WHERE a.run_id = p_run_id AND a.person = person::name
               AND a.findings_sha256 = v_approval ->> 'findings_sha256'))) THEN
        RAISE EXCEPTION 'no approval of two persons' USING ERRCODE = 'NL012';
    END IF;
END
$$;
COMMENT ON FUNCTION linkage.check_approval IS 'Refuse an event that claims an approval which two persons did not give.';

CREATE OR REPLACE FUNCTION review.is_reviewer() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT session_user LIKE '%\_reviewer' $$;

CREATE OR REPLACE FUNCTION review.held_nights()
RETURNS TABLE (run_id text, project text, findings_sha256 text, findings jsonb, held_at timestamptz, persons text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT h.run_id, h.project, h.findings_sha256, h.findings, h.held_at,
           ARRAY(SELECT a.person::text FROM review.approval AS a
                  WHERE a.run_id = h.run_id AND a.findings_sha256 = h.findings_sha256 ORDER BY a.audit_sequence)
      FROM review.held_night AS h ORDER BY h.held_at
$$;
COMMENT ON FUNCTION review.held_nights IS 'Nights that were held, why, and who approved so far.';

CREATE OR REPLACE FUNCTION review.approve_night(p_run_id text, p_findings_sha256 text, p_reason text, p_event text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_held review.held_night;
    v_persons text[];
    v_sequence bigint;
BEGIN
    SELECT * INTO v_held FROM review.held_night AS h
     WHERE h.run_id = p_run_id AND h.findings_sha256 = p_findings_sha256 FOR UPDATE;
    IF NOT FOUND OR NOT review.is_reviewer() THEN
        RAISE EXCEPTION 'nothing to approve' USING ERRCODE = 'NL013';
    END IF;
    SELECT coalesce(array_agg(a.person::text ORDER BY a.audit_sequence), '{}') INTO v_persons FROM review.approval AS a
     WHERE a.run_id = p_run_id AND a.findings_sha256 = p_findings_sha256;
    IF session_user::text = ANY (v_persons) THEN
        RAISE EXCEPTION 'approved already by this person' USING ERRCODE = 'NL013';
    END IF;
    PERFORM audit.check_event(p_event, jsonb_build_object('kind', 'night_approved', 'run_id', p_run_id,
        'project', v_held.project, 'findings_sha256', p_findings_sha256, 'reason', p_reason));
    IF p_event::jsonb -> 'persons' IS DISTINCT FROM to_jsonb(v_persons || session_user::text) THEN
        RAISE EXCEPTION 'the event names other persons' USING ERRCODE = 'NL010';
    END IF;
    SELECT a.sequence INTO v_sequence FROM audit.append_event(p_event) AS a;
    INSERT INTO review.approval (run_id, findings_sha256, person, reason, audit_sequence)
    VALUES (p_run_id, p_findings_sha256, session_user, p_reason, v_sequence);
    RETURN cardinality(v_persons) + 1;
END
$$;
COMMENT ON FUNCTION review.approve_night IS
    'Approve exactly these findings of a held night, as the person of this login; returns how many persons have. Two are needed.';

CREATE OR REPLACE FUNCTION linkage.queue_pairs(p_run_id text, p_fence bigint, p_pairs jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_run linkage.link_run := linkage.check_fence(p_run_id, p_fence);
BEGIN
    IF v_run.status <> 'running' THEN
        RAISE EXCEPTION 'fenced' USING ERRCODE = 'NL001';
    END IF;
    UPDATE review.pair AS p SET queued = false WHERE p.project = v_run.project AND p.queued;
    INSERT INTO review.pair (project, custodian_a, record_a, custodian_b, record_b, score_band, evidence, last_run)
    SELECT v_run.project, n.custodian_a, n.record_a, n.custodian_b, n.record_b, n.score_band, n.evidence, p_run_id
      FROM jsonb_to_recordset(p_pairs) AS n (custodian_a text, record_a uuid, custodian_b text, record_b uuid,
        score_band text, evidence jsonb)
    ON CONFLICT (project, custodian_a, record_a, custodian_b, record_b) DO UPDATE
        SET score_band = excluded.score_band, evidence = excluded.evidence, last_run = excluded.last_run, queued = true;
END
$$;
COMMENT ON FUNCTION linkage.queue_pairs IS
    'The night''s possible matches for review, in the transaction that publishes it; what reviewers said of a pair stays.';

CREATE OR REPLACE FUNCTION review.open_pairs(p_project text, p_most integer)
RETURNS TABLE (pair_id bigint, custodian_a text, custodian_b text, score_band text, evidence jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.pair_id, p.custodian_a, p.custodian_b, p.score_band, p.evidence
      FROM review.pair AS p, LATERAL (
        SELECT count(DISTINCT d.person) AS persons, coalesce(bool_or(d.person = session_user), false) AS mine
          FROM review.decision AS d WHERE d.pair_id = p.pair_id) AS judged
     WHERE p.project = p_project AND NOT judged.mine AND judged.persons < 2 AND (p.queued OR judged.persons = 1)
     ORDER BY judged.persons DESC, p.score_band DESC, p.pair_id LIMIT p_most
$$;
COMMENT ON FUNCTION review.open_pairs IS
    'Pairs that this login has not judged: those that another one has first, without saying how.';

CREATE OR REPLACE FUNCTION review.decide_pair(p_pair_id bigint, p_verdict text, p_reason text, p_event text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_pair review.pair;
    v_sequence bigint;
BEGIN
    SELECT * INTO v_pair FROM review.pair AS p WHERE p.pair_id = p_pair_id;
    IF NOT FOUND OR NOT review.is_reviewer() THEN
        RAISE EXCEPTION 'no such pair' USING ERRCODE = 'NL013';
    END IF;
    PERFORM audit.check_event(p_event, jsonb_build_object('kind', 'pair_reviewed', 'project', v_pair.project,
        'pair_id', p_pair_id, 'person', session_user, 'verdict', p_verdict, 'reason', p_reason));
    SELECT a.sequence INTO v_sequence FROM audit.append_event(p_event) AS a;
    INSERT INTO review.decision (pair_id, person, verdict, reason, audit_sequence)
    VALUES (p_pair_id, session_user, p_verdict, p_reason, v_sequence);
END
$$;
COMMENT ON FUNCTION review.decide_pair IS 'Say of a pair link, never or unsure, as the person of this login; said again, the later word counts.';

CREATE OR REPLACE FUNCTION review.project_of_pair(p_pair_id bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.project FROM review.pair AS p WHERE p.pair_id = p_pair_id
$$;

CREATE OR REPLACE FUNCTION review.verdicts(p_project text)
RETURNS TABLE (custodian_a text, record_a uuid, custodian_b text, record_b uuid, person text, verdict text, decision bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT DISTINCT ON (d.pair_id, d.person) p.custodian_a, p.record_a, p.custodian_b, p.record_b, d.person::text,
           d.verdict, d.decision_id
      FROM review.decision AS d JOIN review.pair AS p USING (pair_id) WHERE p.project = p_project
     ORDER BY d.pair_id, d.person, d.decision_id DESC
$$;
COMMENT ON FUNCTION review.verdicts IS 'The latest word of every person on every pair of a project; for the linkage unit.';
