-- name: person_over_time
-- A person's records over time: since when, until when, and what became of the entity otherwise.
--
-- Parameters: entity_id, as entity_member_v1 has it in your project.
SELECT m.valid_from AS day, 'record joined' AS what, m.custodian, m.record_pseudonym, CAST(NULL AS uuid) AS other_entity_id
  FROM research.entity_member_v1 AS m WHERE m.entity_id = CAST(:entity_id AS uuid)
UNION ALL
SELECT m.valid_to, 'record left', m.custodian, m.record_pseudonym, NULL
  FROM research.entity_member_v1 AS m WHERE m.entity_id = CAST(:entity_id AS uuid) AND m.valid_to < 'infinity'
UNION ALL
SELECT c.as_of, c.change, NULL, NULL, c.other_entity_id
  FROM research.entity_change_v1 AS c WHERE c.entity_id = CAST(:entity_id AS uuid)
ORDER BY day, what, custodian;
