-- name: linked_by_diagnosis
-- Who is missing? The share of discharged patients with a link, by diagnosis group: a question answered from linked
-- patients alone is biased where these shares differ.
--
-- Parameters: project; first_day and last_day of discharge, both included. Matches only; fewer than 10: no figures.
WITH patient AS (
    SELECT DISTINCT left(a.diagnosis_code, 3) AS code, a.custodian, a.record_pseudonym
      FROM research.admission_v1 AS a
     WHERE a.discharged BETWEEN CAST(:first_day AS date) AND CAST(:last_day AS date)
), marked AS (
    SELECT p.code, link.found IS NOT NULL AS linked
      FROM patient AS p
      LEFT JOIN LATERAL (
        SELECT true AS found FROM research.link_current_v1 AS l
         WHERE l.project = :project AND l.decision = 'match'
           AND l.custodian_a = p.custodian AND l.record_a = p.record_pseudonym LIMIT 1) AS link ON true
)
SELECT g.code AS diagnosis_group, g.label AS diagnosis,
       CASE WHEN count(*) >= 10 THEN count(*) END AS patients,
       CASE WHEN count(*) >= 10 THEN count(*) FILTER (WHERE m.linked) END AS linked,
       CASE WHEN count(*) >= 10 THEN (count(*) FILTER (WHERE m.linked))::double precision / count(*) END AS share
  FROM marked AS m JOIN research.diagnosis_group_v1 AS g USING (code)
 GROUP BY g.code, g.label ORDER BY g.code;
