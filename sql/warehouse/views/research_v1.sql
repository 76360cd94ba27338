-- The researchers' contract, version 1. A released view keeps its columns; a change of meaning is a _v2 beside it.
--
-- Every view is a security barrier: a condition of a researcher's cannot be run on rows that the view hides. Views
-- run with their owner's rights, and the owner is held to row-level security (roles/row_security.sql); the researcher
-- has no right on the tables below. Records, entities and links bear pseudonyms of the research project that asks
-- (schema/access_functions.sql). LEFT JOINs with them, so that a question that names no record does not pay for them.
CREATE SCHEMA IF NOT EXISTS research;
COMMENT ON SCHEMA research IS 'Documented, versioned views: all that a researcher sees.';

CREATE OR REPLACE VIEW research.link_history_v1 WITH (security_barrier) AS
SELECT access.hmac_uuid((SELECT k.inner_block FROM access.research_project AS k WHERE k.login_role = session_user),
           (SELECT k.outer_block FROM access.research_project AS k WHERE k.login_role = session_user),
           'link'::bytea || int8send(l.link_id)) AS link_id,
       l.project,
       l.custodian_a,
       a.outside AS record_a,
       l.custodian_b,
       b.outside AS record_b,
       l.decision,
       l.score_band,
       l.passes_agreed,
       l.valid_from,
       l.valid_to,
       l.opened_by_run,
       l.closed_by_run,
       l.closed_because,
       ARRAY(SELECT d.manifest_sha256 FROM linkage.run_delivery AS d
              WHERE d.run_id = l.opened_by_run ORDER BY d.manifest_sha256) AS deliveries,
       r.protocol_version,
       r.protocol_fingerprint,
       r.key_epoch,
       r.code_version
  FROM linkage.link AS l
  LEFT JOIN access.pseudonym AS a ON a.research_id = (SELECT access.research_id()) AND a.inside = l.record_a
  LEFT JOIN access.pseudonym AS b ON b.research_id = (SELECT access.research_id()) AND b.inside = l.record_b
  LEFT JOIN linkage.link_run AS r ON r.run_id = l.opened_by_run
 WHERE l.project = ANY ((SELECT access.linkage_projects())::text[]) AND l.valid_from < l.valid_to;

COMMENT ON VIEW research.link_history_v1 IS 'All versions of all links that were valid on any day.';
COMMENT ON COLUMN research.link_history_v1.link_id IS 'Names this version of the link in your project; kept as long as nothing about it changes.';
COMMENT ON COLUMN research.link_history_v1.project IS 'Linkage project.';
COMMENT ON COLUMN research.link_history_v1.custodian_a IS 'Custodian of record_a.';
COMMENT ON COLUMN research.link_history_v1.record_a IS 'Your project''s pseudonym of the record at custodian_a; joins with record_pseudonym of its content.';
COMMENT ON COLUMN research.link_history_v1.custodian_b IS 'Custodian of record_b.';
COMMENT ON COLUMN research.link_history_v1.record_b IS 'Your project''s pseudonym of the record at custodian_b; joins with record_pseudonym of its content.';
COMMENT ON COLUMN research.link_history_v1.decision IS 'match, or possible_match (between the two thresholds): decide which you need, and say so.';
COMMENT ON COLUMN research.link_history_v1.score_band IS 'Band of the link probability, 0.05 wide; finer scores are not published.';
COMMENT ON COLUMN research.link_history_v1.passes_agreed IS 'Names of the blocking passes on which the two records agree.';
COMMENT ON COLUMN research.link_history_v1.valid_from IS 'First day on which this version is valid.';
COMMENT ON COLUMN research.link_history_v1.valid_to IS 'First day on which it no longer is; infinity while it is current.';
COMMENT ON COLUMN research.link_history_v1.opened_by_run IS 'The run that published this version: linkage_run_v1.run_id.';
COMMENT ON COLUMN research.link_history_v1.closed_by_run IS 'The run that ended it; NULL while it is current.';
COMMENT ON COLUMN research.link_history_v1.closed_because IS 'superseded (still linked, on other evidence), relinked (one of the records is linked to another one), withdrawn (neither), unrecorded (ended before reasons were kept); NULL while current.';
COMMENT ON COLUMN research.link_history_v1.deliveries IS 'SHA-256 of the signed manifests of the deliveries which the opening run compared.';
COMMENT ON COLUMN research.link_history_v1.protocol_version IS 'Version of the linkage protocol of the opening run.';
COMMENT ON COLUMN research.link_history_v1.protocol_fingerprint IS 'SHA-256 of the linkage protocol of the opening run.';
COMMENT ON COLUMN research.link_history_v1.key_epoch IS 'Name of the key epoch of the opening run; pseudonyms differ between epochs.';
COMMENT ON COLUMN research.link_history_v1.code_version IS 'Version of the code that made the decision.';

CREATE OR REPLACE VIEW research.link_current_v1 WITH (security_barrier) AS
SELECT access.hmac_uuid((SELECT k.inner_block FROM access.research_project AS k WHERE k.login_role = session_user),
           (SELECT k.outer_block FROM access.research_project AS k WHERE k.login_role = session_user),
           'link'::bytea || int8send(l.link_id)) AS link_id,
       l.project,
       l.custodian_a,
       a.outside AS record_a,
       l.custodian_b,
       b.outside AS record_b,
       l.decision,
       l.score_band,
       l.passes_agreed,
       l.valid_from,
       l.opened_by_run,
       ARRAY(SELECT d.manifest_sha256 FROM linkage.run_delivery AS d
              WHERE d.run_id = l.opened_by_run ORDER BY d.manifest_sha256) AS deliveries,
       r.protocol_version,
       r.protocol_fingerprint,
       r.key_epoch,
       r.code_version
  FROM linkage.link AS l
  LEFT JOIN access.pseudonym AS a ON a.research_id = (SELECT access.research_id()) AND a.inside = l.record_a
  LEFT JOIN access.pseudonym AS b ON b.research_id = (SELECT access.research_id()) AND b.inside = l.record_b
  LEFT JOIN linkage.link_run AS r ON r.run_id = l.opened_by_run
 WHERE l.project = ANY ((SELECT access.linkage_projects())::text[]) AND l.valid_to = 'infinity';

COMMENT ON VIEW research.link_current_v1 IS 'The links that are served now: what the last published run of each project decided.';
COMMENT ON COLUMN research.link_current_v1.link_id IS 'Names this version of the link in your project; kept as long as nothing about it changes.';
COMMENT ON COLUMN research.link_current_v1.project IS 'Linkage project.';
COMMENT ON COLUMN research.link_current_v1.custodian_a IS 'Custodian of record_a.';
COMMENT ON COLUMN research.link_current_v1.record_a IS 'Your project''s pseudonym of the record at custodian_a; joins with record_pseudonym of its content.';
COMMENT ON COLUMN research.link_current_v1.custodian_b IS 'Custodian of record_b.';
COMMENT ON COLUMN research.link_current_v1.record_b IS 'Your project''s pseudonym of the record at custodian_b; joins with record_pseudonym of its content.';
COMMENT ON COLUMN research.link_current_v1.decision IS 'match, or possible_match (between the two thresholds): decide which you need, and say so.';
COMMENT ON COLUMN research.link_current_v1.score_band IS 'Band of the link probability, 0.05 wide; finer scores are not published.';
COMMENT ON COLUMN research.link_current_v1.passes_agreed IS 'Names of the blocking passes on which the two records agree.';
COMMENT ON COLUMN research.link_current_v1.valid_from IS 'First day on which this version is valid.';
COMMENT ON COLUMN research.link_current_v1.opened_by_run IS 'The run that published this version: linkage_run_v1.run_id.';
COMMENT ON COLUMN research.link_current_v1.deliveries IS 'SHA-256 of the signed manifests of the deliveries which the opening run compared.';
COMMENT ON COLUMN research.link_current_v1.protocol_version IS 'Version of the linkage protocol of the opening run.';
COMMENT ON COLUMN research.link_current_v1.protocol_fingerprint IS 'SHA-256 of the linkage protocol of the opening run.';
COMMENT ON COLUMN research.link_current_v1.key_epoch IS 'Name of the key epoch of the opening run; pseudonyms differ between epochs.';
COMMENT ON COLUMN research.link_current_v1.code_version IS 'Version of the code that made the decision.';

-- Without records, so that one small index answers it alone (link_days), whatever the number of links.
CREATE OR REPLACE VIEW research.link_count_v1 WITH (security_barrier) AS
SELECT l.project, l.custodian_a, l.custodian_b, l.decision, l.score_band, l.valid_from, l.valid_to, l.closed_because
  FROM linkage.link AS l
 WHERE l.project = ANY ((SELECT access.linkage_projects())::text[]) AND l.valid_from < l.valid_to;

COMMENT ON VIEW research.link_count_v1 IS
    'Versions of links to be counted, one row each as in link_history_v1 and without records: much the faster where no record is needed.';
COMMENT ON COLUMN research.link_count_v1.project IS 'Linkage project.';
COMMENT ON COLUMN research.link_count_v1.custodian_a IS 'Custodian of the link''s first record.';
COMMENT ON COLUMN research.link_count_v1.custodian_b IS 'Custodian of the link''s second record.';
COMMENT ON COLUMN research.link_count_v1.decision IS 'match, or possible_match (between the two thresholds).';
COMMENT ON COLUMN research.link_count_v1.score_band IS 'Band of the link probability, 0.05 wide.';
COMMENT ON COLUMN research.link_count_v1.valid_from IS 'First day on which this version is valid.';
COMMENT ON COLUMN research.link_count_v1.valid_to IS 'First day on which it no longer is; infinity while it is current.';
COMMENT ON COLUMN research.link_count_v1.closed_because IS 'Why it ended, as in link_history_v1; NULL while it is current.';

-- No search path of its own, so that it can be inlined, and the day reaches an index.
CREATE OR REPLACE FUNCTION research.link_asof_v1(as_of date) RETURNS SETOF research.link_history_v1
LANGUAGE sql STABLE ROWS 1000000 AS $$
    SELECT l.* FROM research.link_history_v1 AS l WHERE l.valid_from <= as_of AND l.valid_to > as_of
$$;
COMMENT ON FUNCTION research.link_asof_v1 IS
    'The links that were served on the evening of a day, whatever was published since; columns as in link_history_v1.';

CREATE OR REPLACE VIEW research.linkage_run_v1 WITH (security_barrier) AS
SELECT r.run_id, r.project, r.as_of, r.finished_at AS published_at, r.run_id = p.head_run AS is_current,
       r.custodian_a, r.custodian_b, r.links_opened, r.links_closed, r.links_kept,
       ARRAY(SELECT d.manifest_sha256 FROM linkage.run_delivery AS d
              WHERE d.run_id = r.run_id ORDER BY d.manifest_sha256) AS deliveries,
       r.protocol_version, r.protocol_fingerprint, r.key_epoch, r.code_version, r.audit_sequence,
       r.custodians, r.resolution
  FROM linkage.link_run AS r JOIN linkage.project AS p USING (project)
 WHERE r.status = 'published' AND r.project = ANY ((SELECT access.linkage_projects())::text[]);

COMMENT ON VIEW research.linkage_run_v1 IS 'The published runs; quote run_id with every figure.';
COMMENT ON COLUMN research.linkage_run_v1.run_id IS 'Identifies the run.';
COMMENT ON COLUMN research.linkage_run_v1.project IS 'Linkage project.';
COMMENT ON COLUMN research.linkage_run_v1.as_of IS 'The day whose state of the sources the run linked.';
COMMENT ON COLUMN research.linkage_run_v1.published_at IS 'When its links became the current ones.';
COMMENT ON COLUMN research.linkage_run_v1.is_current IS 'True for the one run of the project whose links are served now.';
COMMENT ON COLUMN research.linkage_run_v1.custodian_a IS 'The first custodian.';
COMMENT ON COLUMN research.linkage_run_v1.custodian_b IS 'The second; custodians has them all.';
COMMENT ON COLUMN research.linkage_run_v1.custodians IS 'All custodians that were linked with one another.';
COMMENT ON COLUMN research.linkage_run_v1.resolution IS 'How many links a record may have to another custodian''s records.';
COMMENT ON COLUMN research.linkage_run_v1.links_opened IS 'Link versions that the run opened.';
COMMENT ON COLUMN research.linkage_run_v1.links_closed IS 'Link versions that it ended.';
COMMENT ON COLUMN research.linkage_run_v1.links_kept IS 'Link versions that it left unchanged.';
COMMENT ON COLUMN research.linkage_run_v1.deliveries IS 'SHA-256 of the signed manifests of the deliveries that it compared.';
COMMENT ON COLUMN research.linkage_run_v1.protocol_version IS 'Version of its linkage protocol.';
COMMENT ON COLUMN research.linkage_run_v1.protocol_fingerprint IS 'SHA-256 of its linkage protocol.';
COMMENT ON COLUMN research.linkage_run_v1.key_epoch IS 'Name of its key epoch.';
COMMENT ON COLUMN research.linkage_run_v1.code_version IS 'Version of its code.';
COMMENT ON COLUMN research.linkage_run_v1.audit_sequence IS 'Its entry in the audit log, for an auditor to find.';

CREATE OR REPLACE VIEW research.entity_member_v1 WITH (security_barrier) AS
SELECT m.project, e.outside AS entity_id, m.custodian, p.outside AS record_pseudonym, m.valid_from, m.valid_to,
       m.opened_by_run, m.closed_by_run
  FROM linkage.entity_member AS m
  LEFT JOIN access.pseudonym AS e ON e.research_id = (SELECT access.research_id()) AND e.inside = m.entity_id
  LEFT JOIN access.pseudonym AS p ON p.research_id = (SELECT access.research_id()) AND p.inside = m.record
 WHERE m.project = ANY ((SELECT access.linkage_projects())::text[]) AND m.valid_from < m.valid_to;

COMMENT ON VIEW research.entity_member_v1 IS
    'Who is whom, from when to when: the records of one person, one of each custodian. Now: valid_to = infinity.';
COMMENT ON COLUMN research.entity_member_v1.project IS 'Linkage project.';
COMMENT ON COLUMN research.entity_member_v1.entity_id IS 'The person, in your project; the same from night to night (entity_change_v1 has the exceptions).';
COMMENT ON COLUMN research.entity_member_v1.custodian IS 'Custodian of the record.';
COMMENT ON COLUMN research.entity_member_v1.record_pseudonym IS 'Your project''s pseudonym of the record; joins with record_pseudonym of the content.';
COMMENT ON COLUMN research.entity_member_v1.valid_from IS 'First day on which the record belongs to the entity.';
COMMENT ON COLUMN research.entity_member_v1.valid_to IS 'First day on which it no longer does; infinity while it is current.';
COMMENT ON COLUMN research.entity_member_v1.opened_by_run IS 'The run that published it: linkage_run_v1.run_id.';
COMMENT ON COLUMN research.entity_member_v1.closed_by_run IS 'The run that ended it; NULL while it is current.';

CREATE OR REPLACE VIEW research.entity_change_v1 WITH (security_barrier) AS
SELECT c.project, c.run_id, c.as_of, e.outside AS entity_id, c.change, o.outside AS other_entity_id
  FROM linkage.entity_change AS c
  LEFT JOIN access.pseudonym AS e ON e.research_id = (SELECT access.research_id()) AND e.inside = c.entity_id
  LEFT JOIN access.pseudonym AS o ON o.research_id = (SELECT access.research_id()) AND o.inside = c.other_entity_id
 WHERE c.project = ANY ((SELECT access.linkage_projects())::text[]);

COMMENT ON VIEW research.entity_change_v1 IS 'What became of entities, other than gaining or losing a record.';
COMMENT ON COLUMN research.entity_change_v1.project IS 'Linkage project.';
COMMENT ON COLUMN research.entity_change_v1.run_id IS 'The run that published the change: linkage_run_v1.run_id.';
COMMENT ON COLUMN research.entity_change_v1.as_of IS 'The day from which it holds.';
COMMENT ON COLUMN research.entity_change_v1.entity_id IS 'The entity: entity_member_v1.entity_id.';
COMMENT ON COLUMN research.entity_change_v1.change IS 'merged_into (this id ended, its people are the other''s), split_from (this id is new), dissolved (no two of its records are linked any more).';
COMMENT ON COLUMN research.entity_change_v1.other_entity_id IS 'The entity merged into or split from; NULL for dissolved.';

CREATE OR REPLACE VIEW research.admission_v1 WITH (security_barrier) AS
SELECT d.custodian, p.outside AS record_pseudonym, a.admitted, a.discharged, a.diagnosis_code, d.as_of, d.run_id
  FROM content.current_delivery AS c
  JOIN content.content_delivery AS d USING (delivery_id)
  JOIN content.admission AS a USING (delivery_id)
  JOIN access.pseudonym AS p ON p.research_id = (SELECT access.research_id()) AND p.inside = a.record_pseudonym;

COMMENT ON VIEW research.admission_v1 IS 'Admissions to hospital, of each custodian''s current content.';
COMMENT ON COLUMN research.admission_v1.custodian IS 'The custodian that told of the admission.';
COMMENT ON COLUMN research.admission_v1.record_pseudonym IS 'The patient, under the pseudonym that your project''s links use.';
COMMENT ON COLUMN research.admission_v1.admitted IS 'Day of admission.';
COMMENT ON COLUMN research.admission_v1.discharged IS 'Day of discharge; NULL while the patient is in hospital.';
COMMENT ON COLUMN research.admission_v1.diagnosis_code IS 'Main diagnosis, ICD-10, with the point (I21.9); NULL when the custodian has none.';
COMMENT ON COLUMN research.admission_v1.as_of IS 'The day whose state of the source this is.';
COMMENT ON COLUMN research.admission_v1.run_id IS 'The night with which the content was loaded.';

CREATE OR REPLACE VIEW research.dispensing_v1 WITH (security_barrier) AS
SELECT d.custodian, p.outside AS record_pseudonym, x.dispensed, x.atc_code, x.quantity, d.as_of, d.run_id
  FROM content.current_delivery AS c
  JOIN content.content_delivery AS d USING (delivery_id)
  JOIN content.dispensing AS x USING (delivery_id)
  JOIN access.pseudonym AS p ON p.research_id = (SELECT access.research_id()) AND p.inside = x.record_pseudonym;

COMMENT ON VIEW research.dispensing_v1 IS 'Dispensed prescriptions, of each custodian''s current content.';
COMMENT ON COLUMN research.dispensing_v1.custodian IS 'The custodian that told of the dispensing.';
COMMENT ON COLUMN research.dispensing_v1.record_pseudonym IS 'The customer, under the pseudonym that your project''s links use.';
COMMENT ON COLUMN research.dispensing_v1.dispensed IS 'Day on which the prescription was filled.';
COMMENT ON COLUMN research.dispensing_v1.atc_code IS 'Drug, Anatomical Therapeutic Chemical code.';
COMMENT ON COLUMN research.dispensing_v1.quantity IS 'Units dispensed; NULL when the custodian has none.';
COMMENT ON COLUMN research.dispensing_v1.as_of IS 'The day whose state of the source this is.';
COMMENT ON COLUMN research.dispensing_v1.run_id IS 'The night with which the content was loaded.';

CREATE OR REPLACE VIEW research.diagnosis_group_v1 WITH (security_barrier) AS
SELECT g.code, g.label FROM content.diagnosis_group AS g;

COMMENT ON VIEW research.diagnosis_group_v1 IS 'Groups of diagnoses: join with left(diagnosis_code, 3) = code.';
COMMENT ON COLUMN research.diagnosis_group_v1.code IS 'First three characters of an ICD-10 code.';
COMMENT ON COLUMN research.diagnosis_group_v1.label IS 'What a reader calls the group.';

-- Where one count of rejected rows is hidden, the counts from which it could be had by subtraction are hidden too.
CREATE OR REPLACE VIEW research.data_quality_v1 WITH (security_barrier) AS
WITH told AS (
    SELECT r.run_id, r.project, r.as_of, c.key AS custodian,
           (c.value ->> 'extracted')::bigint AS extracted, (c.value ->> 'rejected')::bigint AS rejected,
           (c.value ->> 'delivered')::bigint AS delivered,
           coalesce(c.value -> 'rejected_by_rule', '{}') AS by_rule
      FROM linkage.link_run AS r, jsonb_each(coalesce(r.counts -> 'custodians', '{}')) AS c
     WHERE r.status = 'published' AND r.project = ANY ((SELECT access.linkage_projects())::text[])),
marked AS (
    SELECT told.*, rejected BETWEEN 1 AND 9 OR EXISTS (
               SELECT FROM jsonb_each_text(by_rule) AS b WHERE b.value::bigint BETWEEN 1 AND 9) AS small_inside
      FROM told),
counted AS (
    SELECT run_id, project, as_of, custodian, 'extracted' AS measure, NULL AS rule, extracted AS count, small_inside AS hidden
      FROM marked
    UNION ALL
    SELECT run_id, project, as_of, custodian, 'rejected', NULL, rejected, small_inside FROM marked
    UNION ALL
    SELECT run_id, project, as_of, custodian, 'delivered', NULL, delivered, false FROM marked
    UNION ALL
    SELECT run_id, project, as_of, custodian, 'rejected_by_rule', b.key, b.value::bigint, false
      FROM marked, jsonb_each_text(by_rule) AS b)
SELECT run_id, project, as_of, custodian, measure, rule,
       CASE WHEN hidden OR count BETWEEN 1 AND 9 THEN NULL ELSE count END AS row_count,
       hidden OR count BETWEEN 1 AND 9 AS suppressed
  FROM counted WHERE count IS NOT NULL;

COMMENT ON VIEW research.data_quality_v1 IS
    'What happened to the custodians'' rows on the way to the links, by published run; counts under 10 are suppressed.';
COMMENT ON COLUMN research.data_quality_v1.run_id IS 'The published run.';
COMMENT ON COLUMN research.data_quality_v1.project IS 'Linkage project.';
COMMENT ON COLUMN research.data_quality_v1.as_of IS 'The day whose state of the source was read.';
COMMENT ON COLUMN research.data_quality_v1.custodian IS 'Whose rows were counted.';
COMMENT ON COLUMN research.data_quality_v1.measure IS 'extracted, rejected, delivered, or rejected_by_rule (a row may break several rules).';
COMMENT ON COLUMN research.data_quality_v1.rule IS 'Code of the field rule, for rejected_by_rule; else NULL.';
COMMENT ON COLUMN research.data_quality_v1.row_count IS 'Number of rows; NULL when suppressed. Zero is shown: it describes nobody.';
COMMENT ON COLUMN research.data_quality_v1.suppressed IS 'True when the count is 1 to 9, or would let such a count be computed.';

-- What a night says of itself, without any truth, one figure a row, so that another estimator is other rows.
CREATE OR REPLACE VIEW research.linkage_quality_v1 WITH (security_barrier) AS
SELECT r.run_id, r.project, r.as_of, 'match_model'::text AS method, told.measure, told.value AS estimate,
       NULL::double precision AS interval_low, NULL::double precision AS interval_high,
       NULL::text AS custodian_a, NULL::text AS custodian_b
  FROM linkage.link_run AS r, LATERAL (VALUES
       ('target_precision', (r.counts #>> '{scores,target_precision}')::double precision),
       ('precision', (r.counts #>> '{scores,expected_precision}')::double precision),
       ('recall', (r.counts #>> '{scores,expected_recall}')::double precision),
       ('match_threshold', (r.counts #>> '{scores,match_threshold}')::double precision),
       ('possible_threshold', (r.counts #>> '{scores,possible_threshold}')::double precision),
       ('pairs_compared', (r.counts #>> '{candidates,pairs}')::double precision),
       ('reduction_ratio', (r.counts #>> '{candidates,reduction_ratio}')::double precision),
       ('expected_matches', (r.counts #>> '{model,expected_matches}')::double precision)) AS told (measure, value)
 WHERE r.status = 'published' AND told.value IS NOT NULL
   AND r.project = ANY ((SELECT access.linkage_projects())::text[])
UNION ALL
SELECT q.run_id, r.project, r.as_of, q.estimator, q.measure, q.value, q.low, q.high, q.custodian_a, q.custodian_b
  FROM linkage.quality_estimate AS q JOIN linkage.link_run AS r USING (run_id)
 WHERE r.status = 'published' AND r.project = ANY ((SELECT access.linkage_projects())::text[]);

COMMENT ON VIEW research.linkage_quality_v1 IS 'How good a run''s links are by its own estimate, without any truth, one figure a row.';
COMMENT ON COLUMN research.linkage_quality_v1.run_id IS 'The published run.';
COMMENT ON COLUMN research.linkage_quality_v1.project IS 'Linkage project.';
COMMENT ON COLUMN research.linkage_quality_v1.as_of IS 'The day whose links it published.';
COMMENT ON COLUMN research.linkage_quality_v1.method IS 'How the figure was had: match_model, from the night''s own model; null_people, posteriors, duplicates, held_out_sex, canary_pairs, recapture: estimators that need no truth (linkage_core/README.md says when to trust which). Recall by canary_pairs is an upper bound: their errors are made up.';
COMMENT ON COLUMN research.linkage_quality_v1.measure IS 'precision and recall of the links decided as match; target_precision, the thresholds on the probability, pairs_compared, reduction_ratio, expected_matches.';
COMMENT ON COLUMN research.linkage_quality_v1.estimate IS 'The figure; match_model: with three custodians or more, of all their pairs together. NULL where there is a range only.';
COMMENT ON COLUMN research.linkage_quality_v1.interval_low IS 'Lower end of its 95% interval; NULL where the method gives none.';
COMMENT ON COLUMN research.linkage_quality_v1.interval_high IS 'Upper end of its 95% interval; NULL where the method gives none.';
COMMENT ON COLUMN research.linkage_quality_v1.custodian_a IS 'The first of the two custodians that the figure is of; NULL for match_model.';
COMMENT ON COLUMN research.linkage_quality_v1.custodian_b IS 'The second.';

-- OMOP Common Data Model 5.4: who is whom, with whole numbers for ids, as its tables have. The numbers are the first 63 bits
-- of your project's pseudonyms: they join with nobody else's, and two of 10 million are the same with probability 1 in 100,000.
CREATE OR REPLACE VIEW research.omop_person_map_v1 WITH (security_barrier) AS
SELECT m.project, access.whole_number(e.outside) AS person_id, access.whole_number(p.outside) AS source_person_id,
       m.custodian, p.outside AS record_pseudonym
  FROM linkage.entity_member AS m
  JOIN access.pseudonym AS e ON e.research_id = (SELECT access.research_id()) AND e.inside = m.entity_id
  JOIN access.pseudonym AS p ON p.research_id = (SELECT access.research_id()) AND p.inside = m.record
 WHERE m.project = ANY ((SELECT access.linkage_projects())::text[]) AND m.valid_to = 'infinity';

COMMENT ON VIEW research.omop_person_map_v1 IS 'OMOP: from the custodians'' records to one person_id for each person, for an ETL; current entities.';
COMMENT ON COLUMN research.omop_person_map_v1.project IS 'Linkage project.';
COMMENT ON COLUMN research.omop_person_map_v1.person_id IS 'The person in an OMOP database of linked data, from entity_member_v1.entity_id.';
COMMENT ON COLUMN research.omop_person_map_v1.source_person_id IS 'The record as a person of its own, in a database of one custodian''s data.';
COMMENT ON COLUMN research.omop_person_map_v1.custodian IS 'Custodian of the record.';
COMMENT ON COLUMN research.omop_person_map_v1.record_pseudonym IS 'Your project''s pseudonym of the record: person_source_value.';

CREATE OR REPLACE VIEW research.omop_fact_relationship_v1 WITH (security_barrier) AS
SELECT l.project, 56 AS domain_concept_id_1, access.whole_number(CASE side WHEN 1 THEN a.outside ELSE b.outside END) AS fact_id_1,
       56 AS domain_concept_id_2, access.whole_number(CASE side WHEN 1 THEN b.outside ELSE a.outside END) AS fact_id_2,
       0 AS relationship_concept_id
  FROM linkage.link AS l
  JOIN access.pseudonym AS a ON a.research_id = (SELECT access.research_id()) AND a.inside = l.record_a
  JOIN access.pseudonym AS b ON b.research_id = (SELECT access.research_id()) AND b.inside = l.record_b
 CROSS JOIN (VALUES (1), (2)) AS both_ways (side)
 WHERE l.project = ANY ((SELECT access.linkage_projects())::text[]) AND l.valid_to = 'infinity' AND l.decision = 'match';

COMMENT ON VIEW research.omop_fact_relationship_v1 IS 'OMOP FACT_RELATIONSHIP: current matches, each in both directions, between records as persons of their own.';
COMMENT ON COLUMN research.omop_fact_relationship_v1.project IS 'Linkage project; not a column of OMOP.';
COMMENT ON COLUMN research.omop_fact_relationship_v1.domain_concept_id_1 IS '56, the domain Person.';
COMMENT ON COLUMN research.omop_fact_relationship_v1.fact_id_1 IS 'omop_person_map_v1.source_person_id of the one record.';
COMMENT ON COLUMN research.omop_fact_relationship_v1.domain_concept_id_2 IS '56, the domain Person.';
COMMENT ON COLUMN research.omop_fact_relationship_v1.fact_id_2 IS 'omop_person_map_v1.source_person_id of the other record.';
COMMENT ON COLUMN research.omop_fact_relationship_v1.relationship_concept_id IS '0: the vocabulary has no standard concept for the same person; put yours.';
