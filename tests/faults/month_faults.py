"""Ten ways in which a night of the simulated month fails; each is really done, seen to have failed, and put back."""

from __future__ import annotations

import hashlib
import os
import re
import signal
from collections.abc import Callable
from contextlib import ExitStack

from tests.faults.night_world import NightWorld, RunningProcess, locked_links, silent_listener

Fault = Callable[[NightWorld, str], RunningProcess]
"""Runs the night under the fault, to its bad end, and puts back what it broke."""
_DEADLINE = ("deadline_s = 600", "deadline_s = 5")


def source_down(world: NightWorld, night: str) -> RunningProcess:
    """The hospital's database is stopped: E-SRC-UNAVAILABLE."""
    hospital = world.demo.servers["hospital"]
    with world.changed_settings("hospital", _DEADLINE):
        hospital.stop()
        try:
            return world.run_night(night)
        finally:
            hospital.start()


def source_hangs(world: NightWorld, night: str) -> RunningProcess:
    """The pharmacy's database takes connections and never answers: E-SRC-UNAVAILABLE."""
    url_file = world.folder("pharmacy") / "secrets" / "source.url"
    port = str(world.demo.servers["pharmacy"].port)
    with silent_listener() as silent, ExitStack() as faults:
        faults.enter_context(world.changed_file(url_file, (f":{port}/", f":{silent}/")))
        faults.enter_context(world.changed_settings("pharmacy", _DEADLINE))
        return world.run_night(night)


def custodian_killed(world: NightWorld, night: str) -> RunningProcess:
    """SIGKILL to the hospital while it encodes."""
    return _killed(world, night, "hospital", "hospital: encode identifiers started")


def linkage_unit_killed(world: NightWorld, night: str) -> RunningProcess:
    """SIGKILL to the linkage unit while it compares."""
    return _killed(world, night, "linkage_unit", "linkage_unit: score pairs started")


def killed_in_publication(world: NightWorld, night: str) -> RunningProcess:
    """SIGKILL to the linkage unit in the middle of its publishing transaction."""
    with locked_links(world):
        return _killed(world, night, "linkage_unit", "linkage_unit: load links started")


def _killed(world: NightWorld, night: str, party: str, words: str) -> RunningProcess:
    running = world.start_night(night)
    running.wait_for(words, 600)
    world.party_process(running, party).kill()
    running.finish()
    return running


def other_key(world: NightWorld, night: str) -> RunningProcess:
    """The pharmacy encodes with another linkage key: E-KEY-MISMATCH."""
    folder = world.folder("pharmacy")
    settings = (folder / "settings.toml").read_text()
    key_file = folder / settings.split('linkage_key_file = "')[1].split('"')[0]
    [key] = re.findall(r"\b[0-9a-f]{64}\b", key_file.read_text())
    with world.changed_file(key_file, (key, hashlib.sha256(night.encode()).hexdigest())):
        return world.run_night(night)


def torn_delivery(world: NightWorld, night: str) -> RunningProcess:
    """A byte of the pharmacy's delivery is changed on its way: E-DLV-DIGEST."""
    assert world.run_party("pharmacy", night).process.returncode == 0
    part = sorted(world.deliveries("pharmacy", night)[-1].glob("*.sealed"))[0]
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(bytes(data))
    assert world.run_party("hospital", night).process.returncode == 0
    return world.run_party("linkage_unit", night)


def second_run(world: NightWorld, night: str) -> RunningProcess:
    """The linkage unit is started twice: E-RUN-LOCKED for the second, and the first is killed."""
    for party in ("hospital", "pharmacy"):
        assert world.run_party(party, night).process.returncode == 0
    first = world.start_party("linkage_unit", night)
    first.wait_for("receive deliveries started", 600)
    os.kill(first.process.pid, signal.SIGSTOP)
    refused = world.run_party("linkage_unit", night)
    assert refused.process.returncode == 3, refused.text
    first.process.kill()
    first.finish()
    return first


def source_shrunk(world: NightWorld, night: str) -> RunningProcess:
    """The pharmacy's source has lost its people: E-DQ-VOLUME at the custodian itself."""
    with world.changed_settings("pharmacy", ("min_rows = 1", "min_rows = 100_000_000")):
        return world.run_night(night)


def warehouse_down(world: NightWorld, night: str) -> RunningProcess:
    """The warehouse crashes as pg_ctl stop -m immediate, and is away for as long as the night would wait."""
    warehouse = world.demo.servers["warehouse"]
    with world.changed_settings("linkage-unit", ("must_not_read", "warehouse_deadline_s = 5\nmust_not_read")):
        running = world.start_night(night)
        running.wait_for("linkage_unit: score pairs started", 600)
        os.kill(warehouse.process_id or 0, signal.SIGQUIT)  # type: ignore[union-attr]
        try:
            running.finish()
        finally:
            warehouse.start()  # type: ignore[union-attr]
    return running


MONTH_OF_FAULTS: tuple[Fault, ...] = (
    source_down, linkage_unit_killed, other_key, torn_delivery, warehouse_down, custodian_killed, source_hangs,
    second_run, source_shrunk, killed_in_publication,
)  # fmt: skip
