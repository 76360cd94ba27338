-- name: quality_of_runs
-- How good did each night say its links are, and what did it change?
--
-- Parameters: project; first_day and last_day of the nights, both included. Estimates are the run's own, made without truth.
SELECT r.run_id, r.as_of, r.links_opened, r.links_closed, r.links_kept,
       max(q.estimate) FILTER (WHERE q.measure = 'precision') AS precision,
       max(q.estimate) FILTER (WHERE q.measure = 'recall') AS recall
  FROM research.linkage_run_v1 AS r
  LEFT JOIN research.linkage_quality_v1 AS q ON q.run_id = r.run_id AND q.method = 'match_model'
 WHERE r.project = :project AND r.as_of BETWEEN CAST(:first_day AS date) AND CAST(:last_day AS date)
 GROUP BY r.run_id, r.as_of, r.links_opened, r.links_closed, r.links_kept, r.published_at
 ORDER BY r.as_of, r.published_at;
