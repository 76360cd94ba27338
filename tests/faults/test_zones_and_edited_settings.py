"""Parties whose clocks show other days (fault 29), and a protocol that is edited while a night runs (fault 45)."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from linkage_core.protocol.linkage_protocol import parse_protocol, protocol_fingerprint
from tests.faults.night_world import FIRST_NIGHT, NightWorld
from tests.faults.test_broken_nights import delivery_manifest
from tests.faults.test_network_faults import deliver, published_whole

pytestmark = pytest.mark.timeout(300)
ZONES = {"hospital": "Pacific/Kiritimati", "pharmacy": "America/St_Johns", "linkage_unit": "Europe/London"}


def test_parties_in_three_time_zones_deliver_the_same_records(night_world: NightWorld) -> None:
    night, served = night_world.next_night(), night_world.served_links()
    for party, zone in ZONES.items():
        running = night_world.run_party(party, night, {"TZ": zone})
        assert running.process.returncode == 0, running.text
    for custodian in ("hospital", "pharmacy"):
        first, delivered = (
            delivery_manifest(night_world.deliveries(custodian, each)[-1])
            for each in (FIRST_NIGHT.isoformat(), night)
        )
        assert delivered["state_digest"] == first["state_digest"]
        assert delivered["as_of"] == delivered["run_id"] == night
    days = night_world.query(f"SELECT DISTINCT as_of::text FROM linkage.delivery WHERE run_id = '{night}'")
    assert days == [(night,)]
    published_whole(night_world, night, served)


@pytest.mark.skipif(
    shutil.which("cc") is None or sys.platform != "linux",
    reason="only a C compiler makes another clock for a process",
)
def test_a_clock_that_is_set_back_by_two_days_changes_nothing(night_world: NightWorld) -> None:
    """For one night, at every party: deliveries and the log are ordered by numbers, and nothing by a receipt's time."""
    served = night_world.served_links()
    before, night, after = (night_world.next_night() for _ in range(3))
    library = night_world.root / "clock_set_back.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", str(library), str(Path(__file__).with_name("clock_set_back.c"))],
        check=True,
    )
    library.chmod(0o755)
    set_back = {"LD_PRELOAD": str(library)}
    for each, clock in ((before, {}), (night, set_back), (after, {})):
        for party in ("hospital", "pharmacy", "linkage_unit"):
            running = night_world.run_party(party, each, clock)
            assert running.process.returncode == 0, running.text
        published_whole(night_world, each, served)
    library.unlink()
    witness = night_world.folder("hospital") / "state" / "witness"
    newest = sorted(path for path in witness.iterdir() if path.name[0].isdigit())[-2:]
    # Of the last night nobody has taken the receipt yet: these are of the one before the clock, and of the one with it.
    first, second = (read_receipt_time(path) for path in newest)
    assert second < first, "the clock was really set back"


def read_receipt_time(path: Path) -> datetime:
    signed = re.search(r"\d{4}-\d\d-\d\dT[0-9:.]+(Z|\+00:00)", path.read_text())
    assert signed is not None
    return datetime.fromisoformat(signed[0])


def test_a_protocol_that_is_edited_in_mid_run_counts_from_the_next_night_on(night_world: NightWorld) -> None:
    night, served = night_world.next_night(), night_world.served_links()
    deliver(night_world, night)
    path = night_world.root / "linkage_protocol.toml"
    agreed = protocol_fingerprint(parse_protocol(path.read_text(encoding="utf-8")))
    running = night_world.start_party("linkage_unit", night)
    running.wait_for("receive deliveries started")
    with night_world.changed_file(path, ("field_bits = 200", "field_bits = 201")):
        assert running.finish() == 0, running.text
        edited = night_world.run_party("linkage_unit", night_world.next_night())
        assert edited.process.returncode == 1
    used = night_world.query(f"SELECT protocol_fingerprint FROM linkage.link_run WHERE run_id = '{night}'")
    assert used == [(agreed,)]
    published_whole(night_world, night, served)
