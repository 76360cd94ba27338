-- name: followup_by_threshold
-- Sensitivity to the link threshold, in the answer: the share of discharged patients who filled a prescription within 30
-- days, with links of a band and above only.
--
-- Parameters: project; first_day and last_day of discharge, both included. All decisions; a row a band. If the answer moves
-- much from row to row, it hangs on doubtful links. Fewer than 10 patients: no figures.
WITH discharge AS (
    SELECT a.custodian, a.record_pseudonym, a.discharged FROM research.admission_v1 AS a
     WHERE a.discharged BETWEEN CAST(:first_day AS date) AND CAST(:last_day AS date)
), patient AS (
    SELECT d.custodian, d.record_pseudonym, max(filled.score_band) AS band  -- the best link that shows a fill
      FROM discharge AS d
      LEFT JOIN LATERAL (
        SELECT link.score_band
          FROM (SELECT l.custodian_b, l.record_b, l.score_band FROM research.link_current_v1 AS l
                 WHERE l.project = :project
                   AND l.custodian_a = d.custodian AND l.record_a = d.record_pseudonym OFFSET 0) AS link
         CROSS JOIN LATERAL (
            SELECT FROM research.dispensing_v1 AS x
             WHERE x.custodian = link.custodian_b AND x.record_pseudonym = link.record_b
               AND x.dispensed BETWEEN d.discharged AND d.discharged + 30 LIMIT 1) AS found
         ORDER BY link.score_band DESC LIMIT 1) AS filled ON true
     GROUP BY d.custodian, d.record_pseudonym
), total AS (
    SELECT count(*) AS patients FROM patient
), followed AS (
    SELECT p.band, sum(count(*)) OVER (ORDER BY p.band DESC) AS followed_up FROM patient AS p
     WHERE p.band IS NOT NULL GROUP BY p.band
)
SELECT f.band AS links_from_band, CASE WHEN t.patients >= 10 THEN t.patients END AS discharged_patients,
       CASE WHEN t.patients >= 10 AND f.followed_up >= 10 THEN f.followed_up END AS followed_up,
       CASE WHEN t.patients >= 10 AND f.followed_up >= 10 THEN f.followed_up::double precision / t.patients END AS share
  FROM followed AS f, total AS t ORDER BY f.band DESC;
