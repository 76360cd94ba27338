-- name: links_changed_since
-- Which links changed since a day (last month, say), and why?
--
-- Parameters: project; since. opened: versions that became valid on that day or later; the other rows: versions that ended, by
-- reason (link_count_v1.closed_because). A link whose evidence changed is one superseded and one opened. Counts of fewer
-- than 10 are not shown.
SELECT change, CASE WHEN links >= 10 THEN links END AS links
  FROM (SELECT 'opened' AS change, count(*) AS links FROM research.link_count_v1 AS l
         WHERE l.project = :project AND l.valid_from >= CAST(:since AS date)
        UNION ALL
        SELECT l.closed_because, count(*) FROM research.link_count_v1 AS l
         WHERE l.project = :project AND l.valid_to >= CAST(:since AS date) AND l.valid_to < 'infinity'
         GROUP BY l.closed_because) AS counted
 ORDER BY change;
