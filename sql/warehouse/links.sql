-- How links come into the warehouse: staged by COPY, counted, published, all in one transaction.

-- name: empty_staging
DELETE FROM linkage.link_staging WHERE run_id = :run_id;

-- name: empty_entity_staging
DELETE FROM linkage.entity_staging WHERE run_id = :run_id;

-- name: stage_entities
COPY linkage.entity_staging (run_id, fence, entity_id, custodian, record) FROM STDIN;

-- name: stage_matches_as_entities
SELECT linkage.stage_matches_as_entities(:run_id, :fence);

-- name: carry_entity_ids
SELECT linkage.carry_entity_ids(:run_id, :fence);

-- name: read_staged_entities
SELECT s.entity_id::text, s.custodian, s.record::text FROM linkage.entity_staging AS s
 WHERE s.run_id = :run_id AND s.fence = :fence ORDER BY s.entity_id, s.record;

-- name: stage_links
COPY linkage.link_staging (run_id, fence, record_a, record_b, decision, score_band, passes_agreed, custodian_a, custodian_b)
FROM STDIN;

-- name: count_link_changes
SELECT links_opened, links_closed, links_kept FROM linkage.count_link_changes(:run_id, :fence, :link_count);

-- name: publish_run
SELECT links_opened, links_closed, links_kept, audit_sequence, audit_event_hash
  FROM linkage.publish_run(:run_id, :fence, :link_count, :member_count, CAST(:deliveries AS jsonb), CAST(:counts AS jsonb), :event);
