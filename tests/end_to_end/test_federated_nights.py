"""The federated topology: nobody shares a Prefect server, one custodian has none, and a server dies in mid-night.

The hospital and the linkage unit have a server, a worker and a deployment of their own; the pharmacy has the command
line alone. They meet in the exchange. (One server for all is `tests/end_to_end/test_demo_night.py`.)
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from deployments.demo.parties import CHECKOUT
from deployments.demo.prefect_night import PrefectServer, client_environment, start_server, start_worker
from deployments.demo.processes import DemoProcesses
from deployments.demo.stage_setting import choose_people, set_stage
from sql.owned_databases import create_owned_database
from tests.faults.night_world import FIRST_NIGHT, NightWorld, plant_into_sources
from tests.faults.warehouse_whole import assert_warehouse_whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
OWNERS = ("hospital", "linkage-unit")
SERVER_GONE_S = 30


@dataclass
class Federation:
    """The night's world, and a Prefect server for each of :data:`OWNERS`."""

    world: NightWorld
    processes: DemoProcesses
    servers: dict[str, PrefectServer]
    database_urls: dict[str, str]

    def prefect(self, owner: str, *words: str) -> str:
        """`prefect WORDS` as the owner's administrator; what it said."""
        home = self.world.demo.parties[owner].home
        outcome = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *words], cwd=CHECKOUT, capture_output=True, text=True,
            env=client_environment(self.servers[owner], home), timeout=180, check=False,
        )  # fmt: skip
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        return outcome.stdout

    def start_run(self, owner: str, deployment: str, night: str) -> None:
        """A run of the owner's own deployment."""
        self.prefect(owner, "deployment", "run", deployment, "-p", f'as_of="{night}"', "--tag", night)

    def runs(self, owner: str) -> list[dict[str, Any]]:
        """All flow runs that the owner's server knows, scheduled ones left out."""
        body = json.dumps({"limit": 200}).encode()
        request = urllib.request.Request(
            f"{self.servers[owner].api_url}/flow_runs/filter", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return [run for run in json.loads(answer.read()) if run["state_type"] != "SCHEDULED"]

    def state(self, owner: str, night: str) -> str:
        """The state of the owner's newest run of the night."""
        [run, *_] = sorted(
            (r for r in self.runs(owner) if night in r["tags"]), key=lambda r: r["created"]
        ) or [None]
        return str(run["state_name"]) if run else "none"

    def log(self, owner: str) -> str:
        """What the owner's worker and its flow runs said."""
        return self.processes.log_path(f"{owner}-worker").read_text(errors="replace")


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    began, root = time.time(), Path(tempfile.mkdtemp(prefix="nightlink-federated-")).resolve()
    root.chmod(0o711)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        demo = set_stage(root, choose_people(None, 500), FIRST_NIGHT, stack, lambda line: None)
        plant_into_sources(demo)
        world, processes = NightWorld(demo, stack, began), DemoProcesses(root)
        stack.callback(processes.stop_all)
        stack.callback(world.stop_processes)
        both = Federation(world, processes, {}, {})
        for owner in OWNERS:
            password = secrets.token_urlsafe(24)
            world.more_secrets.append(password.encode())
            database = f"prefect_{owner.replace('-', '_')}"
            both.database_urls[owner] = create_owned_database(
                demo.servers["warehouse"].superuser_url(), database, password
            )
            party = demo.parties[owner]
            both.servers[owner] = start_server(processes, party, both.database_urls[owner])
            both.prefect(owner, "work-pool", "create", "--type", "process", owner)
            both.prefect(owner, "deploy", "--name", owner, "--prefect-file", "deployments/prefect.yaml")
            start_worker(processes, both.servers[owner], party, demo.party_settings(owner))
        yield both


def until(seen: Callable[[], Any], timeout_s: float, told: Callable[[], str]) -> None:
    give_up = time.monotonic() + timeout_s
    while not seen():
        assert time.monotonic() < give_up, told()[-4000:]
        time.sleep(0.3)


def test_a_night_of_three_parties_who_share_nothing_but_the_exchange(federation: Federation) -> None:
    world, night = federation.world, FIRST_NIGHT.isoformat()
    with world.changed_settings(
        "linkage-unit", ("wait_for_deliveries_s = 0", "wait_for_deliveries_s = 1800")
    ):
        federation.start_run("linkage-unit", "link-and-load/linkage-unit", night)
        until(
            lambda: "receive deliveries started" in federation.log("linkage-unit"), 600,
            lambda: federation.log("linkage-unit"),
        )  # fmt: skip
        federation.start_run("hospital", "encode-and-deliver/hospital", night)
        until(
            lambda: federation.state("hospital", night) == "Completed",
            900,
            lambda: federation.log("hospital"),
        )
        assert federation.state("linkage-unit", night) == "Running", "it waits for the pharmacy"
        assert world.ledger(night) == ("running", None)
        pharmacy = world.run_party("pharmacy", night)
        assert pharmacy.process.returncode == 0, pharmacy.text
        until(
            lambda: federation.state("linkage-unit", night) not in ("Running", "Pending"), 900,
            lambda: federation.log("linkage-unit"),
        )  # fmt: skip
    assert federation.state("linkage-unit", night) == "Completed"
    assert world.ledger(night) == ("published", None)
    assert len(world.served_links()) > 300
    known = {owner: [run["name"] for run in federation.runs(owner)] for owner in OWNERS}
    assert {owner: len(names) for owner, names in known.items()} == {"hospital": 1, "linkage-unit": 1}
    assert_warehouse_whole(world)
    assert world.find_leaks() == []


def test_the_night_publishes_although_its_prefect_server_dies_in_mid_run(federation: Federation) -> None:
    world, night = federation.world, federation.world.next_night()
    for custodian in ("hospital", "pharmacy"):
        assert world.run_party(custodian, night).process.returncode == 0
    words = federation.log("linkage-unit").count("score pairs started")
    federation.start_run("linkage-unit", "link-and-load/linkage-unit", night)
    until(
        lambda: federation.log("linkage-unit").count("score pairs started") > words, 900,
        lambda: federation.log("linkage-unit"),
    )  # fmt: skip
    engine = flow_run_process(federation, "linkage-unit")
    os.kill(engine.pid, signal.SIGSTOP)  # a stage that takes its time
    server = federation.servers["linkage-unit"]
    kill_server(server)
    ended = time.monotonic() + SERVER_GONE_S
    while time.monotonic() < ended:  # the worker, too, must have noticed
        assert engine.is_running(), federation.log("linkage-unit")[-4000:]
        time.sleep(1)
    os.kill(engine.pid, signal.SIGCONT)
    until(lambda: world.ledger(night) == ("published", None), 900, lambda: federation.log("linkage-unit"))
    assert federation.log("linkage-unit").count("load links finished") == 2
    assert_warehouse_whole(world)

    party = world.demo.parties["linkage-unit"]
    start_server(federation.processes, party, federation.database_urls["linkage-unit"], port=server.port)
    until(
        lambda: not engine.is_running(), 900, lambda: federation.log("linkage-unit")
    )  # it tells the new server
    again = world.run_party("linkage_unit", night)
    assert again.process.returncode == 0 and "published already" in again.text, again.text
    assert world.find_leaks() == []


def flow_run_process(federation: Federation, owner: str) -> psutil.Process:
    """The process in which the owner's flow run is at work: below its worker, with the party's settings."""
    settings = str(federation.world.demo.parties[owner].settings_file)
    for child in psutil.Process().children(recursive=True):
        try:
            words, told = child.cmdline(), child.environ()
        except psutil.Error:
            continue
        if (
            settings in told.values()
            and "PREFECT__FLOW_RUN_ID" in told
            and "chunk_process" not in " ".join(words)
        ):
            return child
    raise AssertionError(f"no flow run of {owner}")


def kill_server(server: PrefectServer) -> None:
    """SIGKILL to the server that listens there, and to what it started."""
    found = [
        child
        for child in psutil.Process().children(recursive=True)
        if str(server.port) in child.cmdline() and "server" in child.cmdline()
    ]
    assert found
    for process in found:
        for child in [*process.children(recursive=True), process]:
            child.kill()
            child.wait(10)
