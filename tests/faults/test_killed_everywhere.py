"""SIGKILL at every stage, and to the coordinator: one night goes through all of it and is published in the end."""

from __future__ import annotations

import time

import psutil
import pytest

from tests.faults.night_world import NightWorld
from tests.faults.warehouse_whole import assert_warehouse_whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CUSTODIANS_STAGES = (
    "extract identifiers",
    "extract content",
    "validate identifiers",
    "normalise identifiers",
    "deliver content",
    "deliver encodings",
)
UNITS_STAGES = ("enter the run in the ledger", "receive deliveries", "block records", "resolve links")


def killed_at(world: NightWorld, party: str, stage: str, night: str) -> None:
    """Kill the party's process as soon as it says that the stage begins; a quick stage may have ended by then."""
    running = world.start_party(party, night)
    running.wait_for(f"{stage} started")
    running.process.kill()
    assert running.finish() == -9, running.text


def test_a_night_killed_at_every_stage_is_whole_in_the_end(night_world: NightWorld) -> None:
    night, served = night_world.next_night(), night_world.served_links()
    for stage in CUSTODIANS_STAGES:
        killed_at(night_world, "pharmacy", stage, night)
    assert night_world.find_leaks() == []
    for custodian in ("hospital", "pharmacy"):
        delivered = night_world.run_party(custodian, night)
        assert delivered.process.returncode == 0, delivered.text
    for stage in UNITS_STAGES:
        killed_at(night_world, "linkage_unit", stage, night)
        assert night_world.served_links() == served
    killed_at(night_world, "linkage_unit", "publish the report", night)

    again = night_world.run_night(night)

    assert again.process.returncode == 0, again.text
    assert (night_world.folder("linkage-unit") / "reports" / f"{night}.html").stat().st_size > 10_000
    assert night_world.ledger(night) == ("published", None)
    assert len(night_world.deliveries("pharmacy", night)) == 1
    assert_warehouse_whole(night_world)


def test_the_coordinator_is_killed_and_the_parties_end_by_themselves(night_world: NightWorld) -> None:
    night = night_world.next_night()
    running = night_world.start_night(night)
    running.wait_for("hospital: extract content started")
    parties = psutil.Process(running.process.pid).children(recursive=True)
    running.process.kill()
    _, alive = psutil.wait_procs(parties, timeout=120)
    assert alive == []

    again = night_world.run_night(night)

    assert again.process.returncode == 0, again.text
    assert night_world.ledger(night) == ("published", None)
    assert_warehouse_whole(night_world)


def test_a_party_that_hangs_is_ended_by_the_nights_deadline(night_world: NightWorld) -> None:
    night, served = night_world.next_night(), night_world.served_links()
    with night_world.changed_file(night_world.demo.night_file, ("deadline_s = 3600", "deadline_s = 20")):
        running = night_world.start_night(night)
        running.wait_for("pharmacy: look for an earlier delivery started")
        began = time.monotonic()
        night_world.party_process(running, "pharmacy").suspend()
        assert running.finish() == 1

    assert time.monotonic() - began < 60
    assert "pharmacy ended with exit code -9: E-TIMEOUT" in running.text
    assert night_world.served_links() == served
