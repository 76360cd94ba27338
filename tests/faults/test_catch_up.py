"""Nights that the linkage unit missed are linked in their order, by the ledger's word, however often it dies."""

from __future__ import annotations

import pytest

from tests.faults.night_world import NightWorld
from tests.faults.warehouse_whole import assert_warehouse_whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_missed_nights_are_linked_in_order_through_a_kill(night_world: NightWorld) -> None:
    served = night_world.served_links()
    missed = [night_world.next_night() for _ in range(2)]
    half = night_world.next_night()
    for night in missed:
        delivering = [night_world.start_party(custodian, night) for custodian in ("hospital", "pharmacy")]
        assert [running.finish() for running in delivering] == [0, 0]
    assert night_world.run_party("hospital", half).process.returncode == 0
    words = ["catch-up", "--until", half]

    told = night_world.run_command("linkage_unit", *words, "--dry-run")
    assert [line for line in told.splitlines() if "would be" in line] == [
        f"night {night}: would be linked" for night in missed
    ]
    assert f"night {half}: passed over, no delivery of pharmacy" in told
    assert night_world.ledger(missed[0]) is None

    killed = night_world.start_command("linkage_unit", words)
    killed.wait_for("score pairs started")
    killed.process.kill()
    assert killed.finish() == -9
    assert night_world.ledger(missed[0]) == ("running", None)
    assert night_world.served_links() == served

    told = night_world.run_command("linkage_unit", *words)
    published = [line for line in told.splitlines() if line.endswith(": published")]
    assert published == [f"night {night}: published" for night in missed]
    fences = night_world.query(
        f"SELECT run_id FROM linkage.link_run WHERE run_id IN ('{missed[0]}', '{missed[1]}')"
        " AND status = 'published' ORDER BY fence"
    )
    assert fences == [(night,) for night in missed]
    assert night_world.demo_night() == missed[1]
    assert_warehouse_whole(night_world)

    rows = night_world.warehouse_digests()
    told = night_world.run_command("linkage_unit", *words)
    assert f"nothing missed since {missed[1]} that could be linked" in told
    assert night_world.warehouse_digests() == rows
