-- name: link_survival
-- How stable are links? Of those that were served on a day: how many are still, 30, 90 and 180 days later?
--
-- Parameters: project; day. A version that was superseded by another of the same pair counts as ended here; links_changed_since
-- tells the reasons. NULL where that many days have not gone by, or where fewer than 10 links were served.
WITH served AS (
    SELECT l.valid_to FROM research.link_count_v1 AS l
     WHERE l.project = :project AND l.valid_from <= CAST(:day AS date) AND l.valid_to > CAST(:day AS date)
), last_run AS (
    SELECT max(r.as_of) AS as_of FROM research.linkage_run_v1 AS r WHERE r.project = :project
)
SELECT period.days, CASE WHEN count(*) >= 10 THEN count(*) END AS links,
       CASE WHEN count(*) >= 10 AND CAST(:day AS date) + period.days <= min(r.as_of)
            THEN (count(*) FILTER (WHERE s.valid_to > CAST(:day AS date) + period.days))::double precision / count(*)
       END AS still_served
  FROM served AS s, last_run AS r, (VALUES (30), (90), (180)) AS period (days)
 GROUP BY period.days ORDER BY period.days;
