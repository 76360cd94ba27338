-- What leaves as files, read as a research project: its pseudonyms, its rows.

-- name: custodians
SELECT DISTINCT unnest(r.custodians) AS custodian FROM research.linkage_run_v1 AS r WHERE r.project = :project ORDER BY 1;

-- name: members
SELECT m.entity_id::text, m.custodian, m.record_pseudonym::text FROM research.entity_member_v1 AS m
 WHERE m.project = :project AND m.valid_to = 'infinity' ORDER BY m.entity_id, m.custodian;

-- name: patient_links
SELECT l.custodian_a, l.record_a::text AS record, l.custodian_b, l.record_b::text AS other, l.decision, l.score_band
  FROM research.link_current_v1 AS l WHERE l.project = :project
UNION ALL
SELECT l.custodian_b, l.record_b::text, l.custodian_a, l.record_a::text, l.decision, l.score_band
  FROM research.link_current_v1 AS l WHERE l.project = :project
 ORDER BY 1, 2, 3, 4;

-- name: omop_person_map
SELECT p.person_id::text, p.source_person_id::text, p.custodian, p.record_pseudonym::text
  FROM research.omop_person_map_v1 AS p WHERE p.project = :project ORDER BY p.person_id, p.custodian;

-- name: omop_fact_relationship
SELECT f.domain_concept_id_1::text, f.fact_id_1::text, f.domain_concept_id_2::text, f.fact_id_2::text,
       f.relationship_concept_id::text
  FROM research.omop_fact_relationship_v1 AS f WHERE f.project = :project ORDER BY f.fact_id_1, f.fact_id_2;

-- name: database
SELECT current_database();

-- name: columns
SELECT c.relname, obj_description(c.oid, 'pg_class') AS comment, a.attname, col_description(c.oid, a.attnum) AS told
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
 WHERE c.relnamespace = 'research'::regnamespace AND c.relkind = 'v' ORDER BY c.relname, a.attnum;
