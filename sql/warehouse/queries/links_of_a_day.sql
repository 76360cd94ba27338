-- name: links_of_a_day
-- The links of a day, counted as they were then: does an extract of last March still have all that it had?
--
-- Parameters: project; day. Compare with the counts of your extract, and quote the run. Counts of fewer than 10 are not shown.
SELECT counted.custodian_a, counted.custodian_b, counted.decision,
       CASE WHEN counted.links >= 10 THEN counted.links END AS links, run.run_id, run.protocol_fingerprint
  FROM (SELECT l.custodian_a, l.custodian_b, l.decision, count(*) AS links
          FROM research.link_count_v1 AS l
         WHERE l.project = :project AND l.valid_from <= CAST(:day AS date) AND l.valid_to > CAST(:day AS date)
         GROUP BY l.custodian_a, l.custodian_b, l.decision) AS counted
  LEFT JOIN LATERAL (
    SELECT r.run_id, r.protocol_fingerprint FROM research.linkage_run_v1 AS r
     WHERE r.project = :project AND r.as_of <= CAST(:day AS date)
     ORDER BY r.as_of DESC, r.published_at DESC LIMIT 1) AS run ON true
 ORDER BY counted.custodian_a, counted.custodian_b, counted.decision;
