"""Faults of sources, processes and servers: each is really done, and yesterday's links stay served through it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from tests.faults.night_world import FIRST_NIGHT, NightWorld, RunningProcess, locked_links, silent_listener
from tests.faults.warehouse_whole import assert_warehouse_whole

pytestmark = pytest.mark.timeout(300)
SHORT_DEADLINE = ("deadline_s = 600", "deadline_s = 5")
DEADLINE_S = 5.0


def seconds_of_extraction(running: RunningProcess, party: str) -> float:
    """From the moment when the party turned to its source to its last word."""
    turned = running.said_at(f"{party}: look for an earlier delivery finished")
    return running.said_at(f"{party}: E-SRC-UNAVAILABLE") - turned


def test_one_source_is_down_and_the_other_hangs(night_world: NightWorld) -> None:
    night, served = night_world.next_night(), night_world.served_links()
    url_file = night_world.folder("pharmacy") / "secrets" / "source.url"
    port = str(night_world.demo.servers["pharmacy"].port)
    hospital = night_world.demo.servers["hospital"]
    with ExitStack() as faults:
        hanging = faults.enter_context(silent_listener())
        faults.enter_context(night_world.changed_file(url_file, (f":{port}/", f":{hanging}/")))
        faults.enter_context(night_world.changed_settings("pharmacy", SHORT_DEADLINE))
        faults.enter_context(night_world.changed_settings("hospital", SHORT_DEADLINE))
        hospital.stop()
        faults.callback(hospital.start)
        failed = night_world.run_night(night)

    assert failed.process.returncode == 1
    for party in ("hospital", "pharmacy"):
        assert f"{party} ended with exit code 1: E-SRC-UNAVAILABLE" in failed.text
        assert seconds_of_extraction(failed, party) < DEADLINE_S + 4  # the machine may be busy
        assert night_world.deliveries(party, night) == []
    assert night_world.ledger(night) is None
    assert night_world.served_links() == served


def test_the_same_night_twice_changes_nothing(night_world: NightWorld) -> None:
    places = [night_world.root / "exchange", night_world.folder("linkage-unit") / "reports"]
    rows, files = night_world.warehouse_digests(), night_world.file_digests(*places)

    again = night_world.run_night(night_world.demo_night())

    assert again.process.returncode == 0, again.text
    assert night_world.warehouse_digests() == rows
    assert night_world.file_digests(*places) == files
    assert again.text.count("nothing to do") == 3


def wait_until_publishing(world: NightWorld, running: RunningProcess) -> None:
    """Wait until the linkage unit's transaction is stopped by the lock of :func:`locked_links`."""
    running.wait_for("linkage_unit: load links started")
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND query LIKE '%publish_run%' AND usename = 'linkage_loader'"
    )
    for _ in range(200):
        if world.query(waiting) == [(1,)]:
            return
        signal.sigtimedwait([], 0.1)
    raise AssertionError(f"no publication waits for the lock:\n{running.text}")


def kill_party(world: NightWorld, running: RunningProcess, party: str) -> None:
    world.party_process(running, party).kill()


def test_a_night_is_killed_in_encode_in_score_and_in_load_and_then_publishes(night_world: NightWorld) -> None:
    served, night = night_world.served_links(), night_world.next_night()

    running = night_world.start_night(night)
    running.wait_for("hospital: encode identifiers started")
    kill_party(night_world, running, "hospital")
    assert running.finish() == 1
    assert "hospital ended with exit code -9" in running.text
    assert "hospital: encode identifiers finished" not in running.text
    assert night_world.deliveries("hospital", night) == []
    assert (night_world.folder("hospital") / "state" / "work").is_dir()  # what the dead leave is sealed
    assert night_world.find_leaks() == []
    assert night_world.served_links() == served

    # Without machine code on disk the kernel is compiled in this stage, which takes seconds.
    shutil.rmtree(night_world.folder("linkage-unit") / "home" / "numba")
    running = night_world.start_night(night)
    running.wait_for("linkage_unit: score pairs started")
    kill_party(night_world, running, "linkage_unit")
    assert running.finish() == 1
    assert "hospital: encode identifiers finished" in running.text  # the next run after the first kill
    assert "linkage_unit: score pairs finished" not in running.text
    assert night_world.ledger(night) == ("running", None)  # a dead run is known by its free lock
    assert night_world.served_links() == served

    with locked_links(night_world):
        running = night_world.start_night(night)
        wait_until_publishing(night_world, running)
        kill_party(night_world, running, "linkage_unit")
        assert running.finish() == 1
        assert night_world.served_links() == served
    assert night_world.find_leaks() == []

    last = night_world.run_night(night)
    assert last.process.returncode == 0, last.text
    assert not (night_world.folder("hospital") / "state" / "work").exists()
    assert night_world.ledger(night) == ("published", None)
    assert night_world.query(f"SELECT attempts FROM linkage.link_run WHERE run_id = '{night}'") == [(3,)]
    assert_warehouse_whole(night_world)


def test_the_same_sources_give_the_same_bytes_on_every_night(night_world: NightWorld) -> None:
    first = FIRST_NIGHT.isoformat()
    nights = [
        row[0] for row in night_world.query("SELECT run_id FROM linkage.link_run WHERE status = 'published'")
    ]
    for custodian in ("hospital", "pharmacy"):
        deliveries = [night_world.deliveries(custodian, str(night))[-1] for night in {first, *nights}]
        manifests = [delivery_manifest(delivery) for delivery in deliveries]
        assert len({manifest["state_digest"] for manifest in manifests}) == 1
        by_kind: dict[bool, list[list[bytes]]] = {True: [], False: []}
        for delivery, manifest in zip(deliveries, manifests, strict=True):
            by_kind[manifest["changes"] is None].append(night_world.opened_parts(delivery))
        assert by_kind[True] and all(each == by_kind[True][0] for each in by_kind[True])
        assert all(each == [] for each in by_kind[False]), "nothing changed"
        # Sealed, the same records look like others in each delivery.
        sealed = [part.read_bytes() for delivery in deliveries for part in delivery.glob("*.sealed")]
        assert len(set(sealed)) == len(sealed)


def delivery_manifest(delivery: Path) -> dict[str, Any]:
    return dict(json.loads((delivery / "manifest.json").read_bytes())["manifest"])


@contextmanager
def edited_patients(world: NightWorld) -> Iterator[None]:
    """At the hospital ten people's names are swapped, and one of them gets another number; then all is as it was."""
    swap = "UPDATE patient SET given_name = family_name, family_name = given_name WHERE patient_id LIKE 'HXQ000_'"
    tables = ("patient", "admission")
    rename = [f"UPDATE {table} SET patient_id = 'HXQ7009' WHERE patient_id = 'HXQ0009'" for table in tables]
    back = [f"UPDATE {table} SET patient_id = 'HXQ0009' WHERE patient_id = 'HXQ7009'" for table in tables]
    unchecked = "SET LOCAL session_replication_role = replica"  # foreign keys, until both tables are renamed
    execute_at_hospital(world, unchecked, swap, *rename)
    try:
        yield
    finally:
        execute_at_hospital(world, unchecked, *back, swap)


def execute_at_hospital(world: NightWorld, *statements: str) -> None:
    extractor = (world.folder("hospital") / "secrets" / "source.url").read_text().strip()
    url = world.demo.servers["hospital"].superuser_url(extractor.rpartition("/")[2])
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_night_of_changes_ends_in_the_links_of_a_full_delivery(night_world: NightWorld) -> None:
    before = night_world.served_links()
    with edited_patients(night_world):
        night = night_world.next_night()
        running = night_world.run_night(night)
        assert running.process.returncode == 0, running.text
        print(running.text)
        assert re.search(r"hospital: .*records delivered: 1\d new or changed, 1 gone, of \d+", running.text)
        assert re.search(r"records received from hospital: \d+ \(1\d new or changed\)", running.text)
        assert re.search(r"records received from pharmacy: \d+ \(0 new or changed\)", running.text)
        assert re.search(r"linkage_unit: pairs compared anew: [1-9]", running.text)
        of_changes = night_world.served_links()
        assert of_changes != before

        # A custodian that does not remember, and a linkage unit that kept nothing: all from the beginning.
        for custodian in ("hospital", "pharmacy"):
            (night_world.folder(custodian) / "state" / "delivered.state").unlink()
            (night_world.folder("linkage-unit") / "state" / f"records-{custodian}.kept").unlink()
        (night_world.folder("linkage-unit") / "state" / "pairs-hospital-pharmacy.kept").unlink()
        full_night = night_world.next_night()
        running = night_world.run_night(full_night)
        assert running.process.returncode == 0, running.text
        assert len(re.findall(r"records received from \w+: \d+ \(all\)", running.text)) == 2
        assert "compared anew" not in running.text
        assert night_world.served_links() == of_changes
    for custodian in ("hospital", "pharmacy"):
        states = [
            delivery_manifest(night_world.deliveries(custodian, n)[-1])["state_digest"]
            for n in (night, full_night)
        ]
        assert states[0] == states[1]


def test_two_runs_at_once_one_is_refused_and_the_other_publishes(night_world: NightWorld) -> None:
    night = night_world.next_night()
    first = night_world.start_night(night)
    frozen: list[psutil.Process] = []
    for party in ("hospital", "pharmacy"):
        first.wait_for(f"{party}: look for an earlier delivery started")
        frozen.append(night_world.party_process(first, party))
        os.kill(frozen[-1].pid, signal.SIGSTOP)
    second = night_world.run_night(night)
    for process in frozen:
        os.kill(process.pid, signal.SIGCONT)

    assert second.process.returncode == 3, second.text
    assert len(re.findall("(hospital|pharmacy): E-RUN-LOCKED", second.text)) == 2

    first.wait_for("linkage_unit: receive deliveries started")
    os.kill(night_world.party_process(first, "linkage_unit").pid, signal.SIGSTOP)
    other = night_world.run_party("linkage_unit", night)
    os.kill(night_world.party_process(first, "linkage_unit").pid, signal.SIGCONT)

    assert other.process.returncode == 3, other.text
    assert "E-RUN-LOCKED" in other.text
    assert first.finish() == 0, first.text
    assert night_world.ledger(night) == ("published", None)
    assert_warehouse_whole(night_world)


def test_the_warehouse_crashes_while_links_are_loaded_and_the_night_still_publishes(
    night_world: NightWorld,
) -> None:
    night, warehouse = night_world.next_night(), night_world.demo.servers["warehouse"]
    with locked_links(night_world):
        running = night_world.start_night(night)
        wait_until_publishing(night_world, running)
        os.kill(warehouse.process_id or 0, signal.SIGQUIT)  # as pg_ctl stop -m immediate
        while warehouse.is_running():
            signal.sigtimedwait([], 0.05)
    warehouse.start()

    assert running.finish() == 0, running.text
    assert night_world.ledger(night) == ("published", None)
    assert_warehouse_whole(night_world)
