"""A night with null people and canary pairs, by the real processes: readers see the people who exist alone."""

from __future__ import annotations

import pytest

from tests.faults.night_world import NONE_SEALED, NightWorld
from tests.faults.warehouse_whole import assert_warehouse_whole

SOME_SEALED = "null_people = 60\ncanary_pairs = 50\nmost_share = 0.2"
ON = (NONE_SEALED, SOME_SEALED)


@pytest.mark.timeout(1200)  # two nights of real processes
def test_a_night_counts_its_sealed_people_and_serves_none(night_world: NightWorld) -> None:
    """Then a night without any: whatever the sealed people had displaced is served again."""
    before = night_world.served_pairs()
    night = night_world.next_night()
    with night_world.changed_settings("hospital", ON), night_world.changed_settings("pharmacy", ON):
        running = night_world.run_night(night)
    assert running.process.returncode == 0, running.text
    [counts] = night_world.query(
        "SELECT sealed_a, sealed_b, null_a, null_b, canary_pairs, canary_matches, matches_left FROM linkage.unsealed"
        f" WHERE run_id = '{night}'"
    )
    assert counts[:5] == (110, 110, 60, 60, 50)
    assert counts[5] >= 30  # type: ignore[operator]
    assert counts[6] >= 0.9 * len(before)  # type: ignore[operator]
    delivered = night_world.query(
        "SELECT d.custodian, d.row_count FROM linkage.run_delivery AS u"
        " JOIN linkage.delivery AS d USING (manifest_sha256)"
        f" WHERE u.run_id = '{night}'"
    )
    assert len(delivered) == 2
    _nobody_sealed_is_served(night_world, night)
    methods = night_world.query(
        "SELECT measure, method FROM research.linkage_quality_v1"
        f" WHERE run_id = '{night}' AND method IN ('null_people', 'canary_pairs') ORDER BY 1",
        "researcher",
    )
    assert methods == [("precision", "null_people"), ("recall", "canary_pairs")]
    report = (night_world.folder("linkage-unit") / "reports" / f"{night}.html").read_text()
    assert "Null people, sealed until the links were published" in report
    assert "canary pairs, sealed until the links were published" in report
    assert_warehouse_whole(night_world)
    after = night_world.run_night(night_world.next_night())
    assert after.process.returncode == 0, after.text
    assert night_world.served_pairs() == before
    assert_warehouse_whole(night_world)


def _nobody_sealed_is_served(world: NightWorld, night: str) -> None:
    named = {
        row[0] for row in world.query(f"SELECT record::text FROM sealed.person WHERE run_id = '{night}'")
    }
    assert len(named) == 220
    seen = {
        row[0]
        for statement in (
            "SELECT inside::text FROM access.pseudonym",
            "SELECT record_a::text FROM linkage.link UNION SELECT record_b::text FROM linkage.link",
            "SELECT record::text FROM linkage.entity_member",
            "SELECT record_a::text FROM review.pair UNION SELECT record_b::text FROM review.pair",
        )
        for row in world.query(statement)
    }
    assert not named & seen
