-- name: followup_as_of
-- The follow-up after discharge with the links of a day in the past: last March's answer again, or today's content seen
-- through older links.
--
-- Parameters: project; day (of the links); first_day and last_day of discharge, both included. As followup_within_30_days,
-- over all groups together; content is the current one, since only links have a history. Fewer than 10: no figures.
WITH discharge AS (
    SELECT a.custodian, a.record_pseudonym, a.discharged
      FROM research.admission_v1 AS a
     WHERE a.discharged BETWEEN CAST(:first_day AS date) AND CAST(:last_day AS date)
), patient AS (
    SELECT d.custodian, d.record_pseudonym, bool_or(filled.found) AS followed_up
      FROM discharge AS d
      LEFT JOIN LATERAL (
        SELECT true AS found
          FROM (SELECT l.custodian_b, l.record_b FROM research.link_asof_v1(CAST(:day AS date)) AS l
                 WHERE l.project = :project AND l.decision = 'match'
                   AND l.custodian_a = d.custodian AND l.record_a = d.record_pseudonym OFFSET 0) AS link
         CROSS JOIN LATERAL (
            SELECT FROM research.dispensing_v1 AS x
             WHERE x.custodian = link.custodian_b AND x.record_pseudonym = link.record_b
               AND x.dispensed BETWEEN d.discharged AND d.discharged + 30 LIMIT 1) AS dispensed
         LIMIT 1) AS filled ON true
     GROUP BY d.custodian, d.record_pseudonym
)
SELECT CAST(:day AS date) AS links_as_of,
       CASE WHEN count(*) >= 10 THEN count(*) END AS discharged_patients,
       CASE WHEN count(*) >= 10 THEN count(*) FILTER (WHERE followed_up) END AS followed_up,
       CASE WHEN count(*) >= 10 THEN (count(*) FILTER (WHERE followed_up))::double precision / count(*) END AS share
  FROM patient;
