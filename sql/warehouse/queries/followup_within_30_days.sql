-- name: followup_within_30_days
-- Of the patients discharged in a period, by diagnosis group: what share filled a prescription within 30 days?
--
-- Parameters: project; first_day and last_day of discharge, both included (NULL: no bound). A fair period ends 30 days
-- before the content's as-of date, since a window that the data cuts short pulls the share down.
--
-- Group: the first three characters of the diagnosis, if diagnosis_group_v1 has them. A patient counts once in each
-- group in which they have a discharge in the period, and is followed up when after at least one of those discharges
-- any drug was dispensed to the linked customer, on the day of the discharge or at most 30 days later. Only links
-- decided as match are used. A patient without one stays in the denominator, as not followed up: shares are a lower
-- bound, the lower the more links are missed. linkage_core/evaluation/synthetic_care.py computes the same from the truth.
--
-- Interval: Wilson's score interval, 95% (E. B. Wilson 1927, doi:10.1080/01621459.1927.10502953). Groups of fewer than 10
-- patients keep their row, so that one sees what was left out, without figures.
WITH discharge AS (
    SELECT g.code, g.label, a.custodian, a.record_pseudonym, a.discharged
      FROM research.admission_v1 AS a
      JOIN research.diagnosis_group_v1 AS g ON g.code = left(a.diagnosis_code, 3)
     WHERE a.discharged >= coalesce(CAST(:first_day AS date), '-infinity')
       AND a.discharged <= coalesce(CAST(:last_day AS date), 'infinity')
), followed AS (
    -- LATERAL: the views are security barriers, into which a join does not reach; a condition does, down to an index.
    SELECT DISTINCT d.code, d.custodian, d.record_pseudonym
      FROM discharge AS d
     CROSS JOIN LATERAL (
        SELECT l.custodian_b, l.record_b FROM research.link_current_v1 AS l
         WHERE l.project = :project AND l.decision = 'match'
           AND l.custodian_a = d.custodian AND l.record_a = d.record_pseudonym OFFSET 0) AS link
     CROSS JOIN LATERAL (
        SELECT FROM research.dispensing_v1 AS x
         WHERE x.custodian = link.custodian_b AND x.record_pseudonym = link.record_b
           AND x.dispensed BETWEEN d.discharged AND d.discharged + 30 LIMIT 1) AS filled
), patient AS (
    SELECT DISTINCT d.code, d.label, d.custodian, d.record_pseudonym FROM discharge AS d
), counted AS (
    SELECT p.code, p.label, count(*) AS n, count(f.record_pseudonym) AS k
      FROM patient AS p LEFT JOIN followed AS f USING (code, custodian, record_pseudonym)
     GROUP BY p.code, p.label
), shared AS (
    SELECT c.*, c.n < 10 AS suppressed, c.k::double precision / c.n AS p,
           1.959963984540054 ^ 2 / c.n AS z2n, 1.959963984540054::double precision AS z
      FROM counted AS c
)
SELECT code AS diagnosis_group, label AS diagnosis,
       CASE WHEN NOT suppressed THEN n END AS discharged_patients,
       CASE WHEN NOT suppressed THEN k END AS followed_up,
       CASE WHEN NOT suppressed THEN p END AS share,
       -- At the ends the interval's bound is 0 or 1 exactly; rounding must not say otherwise.
       CASE WHEN suppressed THEN NULL WHEN k = 0 THEN 0::double precision
            ELSE ((p + z2n / 2 - z * sqrt(p * (1 - p) / n + z2n / (4 * n))) / (1 + z2n)) END AS share_low,
       CASE WHEN suppressed THEN NULL WHEN k = n THEN 1::double precision
            ELSE ((p + z2n / 2 + z * sqrt(p * (1 - p) / n + z2n / (4 * n))) / (1 + z2n)) END AS share_high,
       suppressed
  FROM shared
 ORDER BY diagnosis_group;
