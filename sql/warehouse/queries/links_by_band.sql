-- name: links_by_band
-- Sensitivity to the link threshold, in links: how many are left when only links of a band and above are used?
--
-- Parameters: project. Current links. A stricter threshold than the night's can be chosen afterwards, by the band; a laxer one
-- as far as possible matches reach. Counts of fewer than 10 are not shown.
WITH band AS (
    SELECT l.score_band, count(*) FILTER (WHERE l.decision = 'match') AS matches,
           count(*) FILTER (WHERE l.decision = 'possible_match') AS possible_matches
      FROM research.link_count_v1 AS l WHERE l.project = :project AND l.valid_to = 'infinity' GROUP BY l.score_band
)
SELECT score_band,
       CASE WHEN matches >= 10 OR matches = 0 THEN matches END AS matches,
       CASE WHEN possible_matches >= 10 OR possible_matches = 0 THEN possible_matches END AS possible_matches,
       CASE WHEN min(matches + possible_matches) OVER up >= 10 THEN sum(matches + possible_matches) OVER up END
           AS links_from_here_up
  FROM band WINDOW up AS (ORDER BY score_band DESC) ORDER BY score_band DESC;
