"""Disks that are really full, and folders that may not be written: a clear code, nothing by halves, links as before."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults.night_world import NightWorld, RunningProcess
from tests.faults.small_disk import small_disk
from tests.faults.test_network_faults import deliver, published_whole, run_as_superuser

pytestmark = pytest.mark.timeout(600)  # the first one waits for the world as well
only_with_users = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can give each party a user of its own"
)


def failed(running: RunningProcess, code: str) -> None:
    assert running.process.returncode == 1, running.text
    assert running.text.splitlines()[-1].startswith(f"{code}: "), running.text


def mended(world: NightWorld, night: str, served: list[tuple[object, ...]]) -> None:
    assert world.served_links() == served
    again = world.run_night(night)
    assert again.process.returncode == 0, again.text
    published_whole(world, night, served)


def test_an_exchange_without_room_gets_no_delivery(night_world: NightWorld) -> None:
    night, served = night_world.next_night(), night_world.served_links()
    exchange = night_world.root / "exchange" / "pharmacy"
    with small_disk(exchange, 32):
        failed(night_world.run_party("pharmacy", night), "E-OUTPUT")
        files = [path for path in exchange.rglob("*") if path.is_file()]
    assert files == [], "no part and no manifest, whole or half"
    mended(night_world, night, served)


def test_a_custodian_without_room_for_its_working_files_delivers_nothing(night_world: NightWorld) -> None:
    night, served = night_world.next_night(), night_world.served_links()
    state = night_world.folder("hospital") / "state"
    before = sorted(state.iterdir())
    kept = night_world.root / "kept_state"
    subprocess.run(["cp", "-a", str(state), str(kept)], check=True)
    with small_disk(state, 4096):
        subprocess.run(["cp", "-a", f"{kept}/.", str(state)], check=True)
        room = os.statvfs(state)
        (state / "filler").write_bytes(bytes(room.f_bavail * room.f_frsize - (24 << 10)))
        failed(night_world.run_party("hospital", night), "E-SPOOL")
        assert not (state / "work").exists(), "what was written by halves is gone"
    shutil.rmtree(kept)
    assert sorted(state.iterdir()) == before
    assert night_world.deliveries("hospital", night) == []
    mended(night_world, night, served)


CODES_OF_DISKS = {
    "hospital": ("E-SPOOL", "E-OUTPUT", "E-FILE"),
    "linkage_unit": ("E-CHUNK-FILE", "E-OUTPUT", "E-FILE"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("party", "name"), [("hospital", "hospital"), ("linkage_unit", "linkage-unit")])
def test_whatever_room_is_left_a_party_ends_well_or_with_a_code_of_its_disk(
    night_world: NightWorld, party: str, name: str
) -> None:
    """From no page at all up to enough: the disk is full at another file each time."""
    night, served = night_world.next_night(), night_world.served_links()
    if party == "linkage_unit":
        deliver(night_world, night)
    state, kept, ends = night_world.folder(name) / "state", night_world.root / "kept_state", []
    subprocess.run(["cp", "-a", str(state), str(kept)], check=True)
    for room_kib in [*range(0, 64, 8), 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096]:
        with small_disk(state, 16 << 10):
            subprocess.run(["cp", "-a", f"{kept}/.", str(state)], check=True)
            room = os.statvfs(state)
            (state / "filler").write_bytes(bytes(room.f_bavail * room.f_frsize - (room_kib << 10)))
            running = night_world.run_party(party, night)
            (state / "filler").unlink()
            ends.append("well" if running.process.returncode == 0 else code_of(running))
            if ends[-1] == "well":
                break
            assert ends[-1] in CODES_OF_DISKS[party], running.text
            subprocess.run(["cp", "-a", f"{state}/.", str(kept)], check=True)  # what it remembers stays
    shutil.rmtree(kept)
    assert ends[-1] == "well" and len(ends) > 3, ends
    mended(night_world, night, served)


def code_of(running: RunningProcess) -> str:
    return running.text.splitlines()[-1].partition(":")[0]


def test_a_linkage_unit_without_room_for_its_working_files_publishes_nothing(night_world: NightWorld) -> None:
    night, served = night_world.next_night(), night_world.served_links()
    deliver(night_world, night)
    with small_disk(night_world.folder("linkage-unit") / "state", 32):
        failed(night_world.run_party("linkage_unit", night), "E-CHUNK-FILE")
    assert night_world.ledger(night) == ("failed", "E-CHUNK-FILE")
    mended(night_world, night, served)


def test_a_warehouse_without_room_keeps_yesterday_s_links(night_world: NightWorld, tmp_path: Path) -> None:
    night, served = night_world.next_night(), night_world.served_links()
    deliver(night_world, night)
    place = night_world.root / "small_tablespace"
    place.mkdir()
    data = night_world.root / "pg_warehouse" / "pg"
    os.chown(place, data.stat().st_uid, data.stat().st_gid)
    place.chmod(0o700)
    with small_disk(place, 64):
        run_as_superuser(
            night_world,
            f"CREATE TABLESPACE small LOCATION '{place}'",
            "TRUNCATE linkage.link_staging",  # the pages of earlier nights' rows, dead by now
            "ALTER TABLE linkage.link_staging SET TABLESPACE small",
        )
        try:
            failed(night_world.run_party("linkage_unit", night), "E-WH-UNAVAILABLE")
        finally:
            run_as_superuser(
                night_world,
                "TRUNCATE linkage.link_staging",
                "ALTER TABLE linkage.link_staging SET TABLESPACE pg_default",
                "DROP TABLESPACE small",
            )
    place.rmdir()
    assert night_world.ledger(night) == ("failed", "E-WH-UNAVAILABLE")
    mended(night_world, night, served)


@only_with_users
def test_an_exchange_that_may_not_be_written_gets_no_delivery(night_world: NightWorld) -> None:
    """The pharmacy is a user of its own, whom a mode can keep out (fault 28)."""
    night, served = night_world.next_night(), night_world.served_links()
    exchange = night_world.root / "exchange" / "pharmacy"
    mode = exchange.stat().st_mode & 0o7777
    exchange.chmod(0o550)
    try:
        failed(night_world.run_party("pharmacy", night), "E-OUTPUT")
    finally:
        exchange.chmod(mode)
    assert night_world.deliveries("pharmacy", night) == []
    mended(night_world, night, served)


def test_a_report_that_cannot_be_written_takes_nothing_back(night_world: NightWorld) -> None:
    night, served = night_world.next_night(), night_world.served_links()
    deliver(night_world, night)
    with small_disk(night_world.folder("linkage-unit") / "reports", 4):
        failed(night_world.run_party("linkage_unit", night), "E-OUTPUT")
    assert night_world.ledger(night) == ("published", None)
    mended(night_world, night, served)
    assert (night_world.folder("linkage-unit") / "reports" / f"{night}.html").stat().st_size > 10_000
