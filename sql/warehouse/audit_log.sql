-- What an auditor reads.

-- name: read_entries
SELECT sequence, entry FROM audit.event ORDER BY sequence;

-- name: read_nodes
SELECT level, position, hash FROM audit.node;

-- name: read_log_size
SELECT coalesce(max(n.position), -1) + 1 AS size FROM audit.node AS n WHERE n.level = 0;

-- name: read_node
SELECT n.hash FROM audit.node AS n WHERE n.level = :level AND n.position = :position;

-- name: read_entry_of_run
SELECT r.audit_sequence FROM linkage.link_run AS r WHERE r.run_id = :run_id AND r.status = 'published';

-- name: read_link
SELECT l.link_id, l.project, l.custodian_a, l.record_a::text, l.custodian_b, l.record_b::text, l.decision, l.score_band,
       l.passes_agreed, l.leaf, l.opened_by_run, l.closed_by_run, l.closed_because, l.valid_from,
       nullif(l.valid_to, 'infinity') AS valid_to
  FROM linkage.link AS l WHERE l.link_id = :link_id;

-- name: read_entry
SELECT e.entry FROM audit.event AS e WHERE e.sequence = :sequence;

-- name: read_link_versions
-- All versions of a project's links, with the fences of the nights that have them: from_fence <= fence < until_fence.
SELECT l.link_id, replace(l.record_a::text, '-', '') AS record_a, replace(l.record_b::text, '-', '') AS record_b,
       l.decision, l.score_band, l.passes_agreed, l.custodian_a, l.custodian_b, l.leaf,
       l.opened_by_run, opened.fence AS from_fence, closed.fence AS until_fence
  FROM linkage.link AS l
  JOIN linkage.link_run AS opened ON opened.run_id = l.opened_by_run
  LEFT JOIN linkage.link_run AS closed ON closed.run_id = l.closed_by_run
 WHERE l.project = :project;

-- name: read_member_versions
SELECT replace(m.entity_id::text, '-', '') AS entity_id, m.custodian, replace(m.record::text, '-', '') AS record,
       opened.fence AS from_fence, closed.fence AS until_fence
  FROM linkage.entity_member AS m
  JOIN linkage.link_run AS opened ON opened.run_id = m.opened_by_run
  LEFT JOIN linkage.link_run AS closed ON closed.run_id = m.closed_by_run
 WHERE m.project = :project;

-- name: read_buried
-- Leaves of rows that were erased, or expired, since.
SELECT t.kind, t.leaf, t.leaf_named, t.from_fence, t.until_fence FROM linkage.tombstone AS t WHERE t.project = :project;

-- name: read_sealed_links
-- Leaves of links with people who do not exist: they were in one night's table alone.
SELECT s.leaf, s.leaf_named, r.fence FROM sealed.link AS s JOIN linkage.link_run AS r USING (run_id) WHERE s.project = :project;

-- name: read_sealed_members
SELECT s.leaf, r.fence FROM sealed.member AS s JOIN linkage.link_run AS r USING (run_id) WHERE s.project = :project;

-- name: count_sealed
SELECT r.run_id, (SELECT count(*) FROM sealed.link AS s WHERE s.run_id = r.run_id) AS links,
       (SELECT count(*) FROM sealed.member AS s WHERE s.run_id = r.run_id) AS members
  FROM linkage.link_run AS r;

-- name: read_all_deliveries
SELECT u.run_id, d.custodian, d.manifest_sha256
  FROM linkage.run_delivery AS u JOIN linkage.delivery AS d USING (manifest_sha256);

-- name: read_links_of_run
-- The link table as the run published it: opened by it or before, and closed after it or never. Within a project
-- fences order the publications.
-- More than two custodians are named with each link, as its digest covers them then.
SELECT l.record_a::text, l.record_b::text, l.decision, l.score_band, l.passes_agreed,
       CASE WHEN cardinality(r.custodians) > 2 THEN ARRAY[l.custodian_a, l.custodian_b] ELSE '{}' END AS custodians
  FROM linkage.link_run AS r
  JOIN linkage.link AS l ON l.project = r.project
  JOIN linkage.link_run AS opened ON opened.run_id = l.opened_by_run
  LEFT JOIN linkage.link_run AS closed ON closed.run_id = l.closed_by_run
 WHERE r.run_id = :run_id AND opened.fence <= r.fence AND (closed.fence IS NULL OR closed.fence > r.fence)
 ORDER BY l.record_a, l.record_b;

-- name: read_entities_of_run
-- Who was whom as the run published it, as for links.
SELECT m.entity_id::text, m.custodian, m.record::text
  FROM linkage.link_run AS r
  JOIN linkage.entity_member AS m ON m.project = r.project
  JOIN linkage.link_run AS opened ON opened.run_id = m.opened_by_run
  LEFT JOIN linkage.link_run AS closed ON closed.run_id = m.closed_by_run
 WHERE r.run_id = :run_id AND opened.fence <= r.fence AND (closed.fence IS NULL OR closed.fence > r.fence)
 ORDER BY m.entity_id, m.record;

-- name: count_buried
SELECT t.project, t.kind, count(*) AS count FROM linkage.tombstone AS t GROUP BY t.project, t.kind;

-- name: read_publications
-- Published runs, in the order of their audit events; NULL where a run has lost its event.
SELECT r.run_id, r.project, r.as_of, r.fence, r.protocol_version, r.protocol_fingerprint, r.key_epoch, r.code_version,
       r.custodians, r.counts, r.audit_sequence, r.audit_event_hash
  FROM linkage.link_run AS r WHERE r.status = 'published' ORDER BY r.audit_sequence, r.run_id;

-- name: read_head_runs
SELECT p.project, p.head_run FROM linkage.project AS p ORDER BY p.project;

-- name: read_deliveries_of_run
SELECT d.manifest_sha256, d.custodian, d.run_id, d.sequence, d.as_of, d.row_count, d.protocol_fingerprint,
       d.key_check_value, d.code_version
  FROM linkage.run_delivery AS u JOIN linkage.delivery AS d USING (manifest_sha256)
 WHERE u.run_id = :run_id ORDER BY d.custodian;
