-- name: days_to_first_fill
-- How long after discharge is a drug first dispensed? Quartiles of the days, by diagnosis group.
--
-- Parameters: project; atc (the code's first characters); first_day and last_day of discharge, both included: a fair period
-- ends 90 days before the content's as-of date, since fills later than that do not count. Matches only. Groups with fewer than
-- 10 fills show no quartiles.
WITH first_fill AS (
    SELECT left(a.diagnosis_code, 3) AS code, filled.dispensed - a.discharged AS days
      FROM research.admission_v1 AS a
      LEFT JOIN LATERAL (
        SELECT x.dispensed
          FROM (SELECT l.custodian_b, l.record_b FROM research.link_current_v1 AS l
                 WHERE l.project = :project AND l.decision = 'match'
                   AND l.custodian_a = a.custodian AND l.record_a = a.record_pseudonym OFFSET 0) AS link
         CROSS JOIN LATERAL (
            SELECT f.dispensed FROM research.dispensing_v1 AS f
             WHERE f.custodian = link.custodian_b AND f.record_pseudonym = link.record_b
               AND f.dispensed BETWEEN a.discharged AND a.discharged + 90 AND starts_with(f.atc_code, :atc)
             ORDER BY f.dispensed LIMIT 1) AS x
         ORDER BY x.dispensed LIMIT 1) AS filled ON true
     WHERE a.discharged BETWEEN CAST(:first_day AS date) AND CAST(:last_day AS date)
)
SELECT g.code AS diagnosis_group, g.label AS diagnosis,
       CASE WHEN count(*) >= 10 THEN count(*) END AS discharges,
       CASE WHEN count(f.days) >= 10 THEN count(f.days) END AS filled,
       CASE WHEN count(f.days) >= 10 THEN percentile_disc(0.25) WITHIN GROUP (ORDER BY f.days) END AS days_q1,
       CASE WHEN count(f.days) >= 10 THEN percentile_disc(0.50) WITHIN GROUP (ORDER BY f.days) END AS days_median,
       CASE WHEN count(f.days) >= 10 THEN percentile_disc(0.75) WITHIN GROUP (ORDER BY f.days) END AS days_q3
  FROM first_fill AS f JOIN research.diagnosis_group_v1 AS g USING (code)
 GROUP BY g.code, g.label ORDER BY g.code;
