-- name: entity_changes_by_month
-- How often are people merged, split or dissolved? By month.
--
-- Parameters: project; first_day and last_day, both included. Months with fewer than 10 changes of a kind show no count.
SELECT CAST(date_trunc('month', c.as_of) AS date) AS month, c.change, CASE WHEN count(*) >= 10 THEN count(*) END AS entities
  FROM research.entity_change_v1 AS c
 WHERE c.project = :project AND c.as_of BETWEEN CAST(:first_day AS date) AND CAST(:last_day AS date)
 GROUP BY 1, c.change ORDER BY 1, c.change;
