-- name: adherence_after_discharge
-- Of the patients discharged with a diagnosis who started a drug within 30 days: how many still filled it 91 to 180 days
-- after the discharge?
--
-- Parameters: project; diagnosis (first three characters); atc (the code's first characters); first_day and last_day of
-- discharge, both included: a fair period ends 180 days before the content's as-of date. A patient's first discharge in the
-- period counts. Matches only. Fewer than 10 patients, or starters: no figures.
WITH discharge AS (
    SELECT a.custodian, a.record_pseudonym, min(a.discharged) AS discharged
      FROM research.admission_v1 AS a
     WHERE a.discharged BETWEEN CAST(:first_day AS date) AND CAST(:last_day AS date)
       AND left(a.diagnosis_code, 3) = :diagnosis
     GROUP BY a.custodian, a.record_pseudonym
), patient AS (
    SELECT link.record_b IS NOT NULL AS linked, fill.started, fill.started AND fill.continued AS continued
      FROM discharge AS d
      LEFT JOIN LATERAL (
        SELECT l.custodian_b, l.record_b FROM research.link_current_v1 AS l
         WHERE l.project = :project AND l.decision = 'match'
           AND l.custodian_a = d.custodian AND l.record_a = d.record_pseudonym LIMIT 1) AS link ON true
      LEFT JOIN LATERAL (
        SELECT bool_or(x.dispensed <= d.discharged + 30) AS started, bool_or(x.dispensed > d.discharged + 90) AS continued
          FROM research.dispensing_v1 AS x
         WHERE x.custodian = link.custodian_b AND x.record_pseudonym = link.record_b
           AND x.dispensed BETWEEN d.discharged AND d.discharged + 180
           AND starts_with(x.atc_code, :atc)) AS fill ON true
), counted AS (
    SELECT count(*) AS patients, count(*) FILTER (WHERE linked) AS linked, count(*) FILTER (WHERE started) AS started,
           count(*) FILTER (WHERE continued) AS continued FROM patient
)
SELECT CASE WHEN patients >= 10 THEN patients END AS discharged_patients,
       CASE WHEN linked >= 10 THEN linked END AS linked_patients,
       CASE WHEN started >= 10 THEN started END AS started,
       CASE WHEN started >= 10 THEN continued END AS continued,
       CASE WHEN started >= 10 THEN continued::double precision / started END AS adherence
  FROM counted;
