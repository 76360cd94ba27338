"""What must hold in the warehouse after any night, however it went: I1, I2, I5 and I7 of the reliability notes."""

from __future__ import annotations

from tests.faults.night_world import NightWorld

# Every statement gives the rows that break its rule.
RULES = {
    "I1: a project serves exactly one run, and a published one": """
        SELECT p.project FROM linkage.project AS p LEFT JOIN linkage.link_run AS r ON r.run_id = p.head_run
         WHERE r.status IS DISTINCT FROM 'published' OR p.head_fence <> r.fence""",
    "I1: the served run is the newest that was published": """
        SELECT r.run_id FROM linkage.link_run AS r JOIN linkage.project AS p USING (project)
         WHERE r.status = 'published' AND r.fence > p.head_fence""",
    "I1: what the served run decided is what is open, to the row": """
        SELECT p.project FROM linkage.project AS p JOIN linkage.link_run AS r ON r.run_id = p.head_run
         WHERE r.links_opened + r.links_kept <> (SELECT count(*) FROM linkage.link AS l
               WHERE l.project = p.project AND l.valid_to = 'infinity')""",
    "I2: a link points to published runs": """
        SELECT l.link_id FROM linkage.link AS l JOIN linkage.link_run AS r
            ON r.run_id IN (l.opened_by_run, l.closed_by_run) WHERE r.status <> 'published'""",
    "I2: a published run has a protocol, a key and two deliveries that exist": """
        SELECT r.run_id FROM linkage.link_run AS r WHERE r.status = 'published' AND 2 <> (
            SELECT count(DISTINCT d.custodian) FROM linkage.run_delivery AS u JOIN linkage.delivery AS d
             USING (manifest_sha256) WHERE u.run_id = r.run_id AND d.run_id = r.run_id
               AND d.protocol_fingerprint = r.protocol_fingerprint AND d.key_check_value ~ '^[0-9a-f]{16}$'
               AND r.key_epoch <> '')""",
    "I5: every publication has one entry of its own in the audit log": """
        SELECT r.run_id FROM linkage.link_run AS r WHERE r.status = 'published' AND 1 <> (
            SELECT count(*) FROM audit.event AS e WHERE e.entry::jsonb -> 'event' ->> 'kind' = 'night_published'
               AND e.entry::jsonb -> 'event' ->> 'run_id' = r.run_id)""",
    "I7: a record has one open link": """
        SELECT record FROM (SELECT record_a AS record FROM linkage.link WHERE valid_to = 'infinity'
            UNION ALL SELECT record_b FROM linkage.link WHERE valid_to = 'infinity') AS open
         GROUP BY record HAVING count(*) > 1""",
    "nothing of dead runs is left": "SELECT run_id FROM linkage.link_staging",
    "no dead run is called running": "SELECT run_id FROM linkage.link_run WHERE status = 'running'",
}


def assert_warehouse_whole(world: NightWorld) -> None:
    """AssertionError naming the rule that does not hold; the audit log is verified with every link table."""
    for rule, breaches in RULES.items():
        assert world.query(breaches) == [], rule
    verified = world.verify()
    published = world.query("SELECT count(*) FROM linkage.link_run WHERE status = 'published'")
    assert [(len(verified.nights),)] == published
