-- name: overlap_by_month
-- How many records of two custodians were linked at the end of each month?
--
-- Parameters: project; first_day and last_day of the period: each month that ends in it has a row, and the last day too. Counts
-- of fewer than 10 are not shown.
SELECT month.last_day, at_end.custodian_a, at_end.custodian_b,
       CASE WHEN at_end.matches >= 10 THEN at_end.matches END AS matches,
       CASE WHEN at_end.possible_matches >= 10 THEN at_end.possible_matches END AS possible_matches
  FROM (SELECT CAST(generate_series(date_trunc('month', CAST(:first_day AS date)) + interval '1 month',
                                    CAST(:last_day AS date), '1 month') AS date) - 1 AS last_day
        UNION SELECT CAST(:last_day AS date)) AS month
 CROSS JOIN LATERAL (
    SELECT l.custodian_a, l.custodian_b, count(*) FILTER (WHERE l.decision = 'match') AS matches,
           count(*) FILTER (WHERE l.decision = 'possible_match') AS possible_matches
      FROM research.link_count_v1 AS l
     WHERE l.project = :project AND l.valid_from <= month.last_day AND l.valid_to > month.last_day
     GROUP BY l.custodian_a, l.custodian_b) AS at_end
 WHERE month.last_day >= CAST(:first_day AS date)
 ORDER BY month.last_day, at_end.custodian_a, at_end.custodian_b;
