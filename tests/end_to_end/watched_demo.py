"""Play the demo's night with planted people, and search everything while it is all still up.

Usage: python watched_demo.py OUT. It writes OUT/seen.json: the figures, what was searched, and what was found.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import psutil

from deployments.demo import command, prefect_night, stage_setting
from deployments.demo.data_folder import demo_folder
from deployments.demo.processes import DemoProcesses
from linkage_core.errors import NightlinkError
from tests.faults.night_world import NightWorld, plant_into_sources
from tests.faults.planted_people import TEN_PEOPLE

LISTS = (
    "flow_runs",
    "task_runs",
    "logs",
    "artifacts",
    "flows",
    "deployments",
    "work_pools",
    "events",
    "variables",
)
COUNT = 500


def main(out: Path) -> None:
    began, worlds = time.time(), []
    set_stage = stage_setting.set_stage

    def set_stage_and_plant(*arguments: Any, **named: Any) -> stage_setting.DemoWorld:
        worlds.append(set_stage(*arguments, **named))
        plant_into_sources(worlds[-1])
        return worlds[-1]

    stage_setting.set_stage = set_stage_and_plant
    with demo_folder() as root, ExitStack() as stack:
        figures = command.play_night(root, stack, None, COUNT, None, 600.0)
        world = NightWorld(worlds[-1], stack, began)
        seen = look_at(world, figures, root / "prefect_told")
        seen |= fail_in_four_ways(world, figures)
        write_list(figures["prefect_ui"] + "/api", "flow_runs", root / "prefect_told")
        seen["states_after_the_failures"] = states_of_flow_runs(root / "prefect_told")
        seen |= press_retry(world, figures["prefect_ui"] + "/api")
        seen |= look_again(world, figures["prefect_ui"] + "/api", root / "prefect_told")
        (out / "seen.json").write_text(json.dumps(seen, default=str))


def look_at(world: NightWorld, figures: dict[str, Any], told: Path) -> dict[str, Any]:
    """Everything that the demo made, while it is up: what Prefect's API and the kernel tell is searched as files."""
    told.mkdir()
    api = figures["prefect_ui"] + "/api"
    counts = {name: write_list(api, name, told) for name in LISTS}
    processes = write_processes(told)
    leaks = [str(leak) for leak in world.find_leaks()]
    report = Path(figures["report"].removeprefix("file://"))
    return {
        "figures": figures,
        "told": counts,
        "artifact_keys": sorted(row["key"] for row in json.loads((told / "artifacts.json").read_text())),
        "states": states_of_flow_runs(told),
        "leaks": leaks,
        "report_bytes": report.stat().st_size,
        "root": str(world.root),
        "processes": processes,
    }


def fail_in_four_ways(world: NightWorld, figures: dict[str, Any]) -> dict[str, Any]:
    """Nights through Prefect that fail: each one's message, and whether the first night's links stayed served."""
    served = world.served_links()
    world.last_night = date.fromisoformat(figures["as_of"])
    key_file = world.folder("pharmacy") / "secrets" / "linkage.key"
    key, other = world.demo.keys["pharmacy"].linkage.hex(), hashlib.sha256(b"other").hexdigest()
    failures = {}
    with (
        world.changed_settings("hospital", ("deadline_s = 600", "deadline_s = 3")),
        stopped(world, "hospital"),
    ):
        failures["source down"] = run_failing_night(world)
    with world.changed_settings("pharmacy", ("max_reject_share = 0.05", "max_reject_share = 0.001")):
        failures["too many rejects"] = run_failing_night(world)
    with world.changed_file(key_file, (key, other)):
        failures["other key"] = run_failing_night(world)
    with hospitals_flow_run_killed(world):
        failures["flow run killed"] = run_failing_night(world)
    return {"failures": failures, "served_through_all_of_them": world.served_links() == served != []}


def press_retry(world: NightWorld, api: str) -> dict[str, Any]:
    """Retry, pressed in Prefect's UI: on the night whose custodian was killed, then on that custodian's own run."""
    night = world.last_night.isoformat()
    ended = {"night": retry(api, f"night {night}")}
    published, before = world.ledger(night), (world.warehouse_digests(), exchange_digests(world))
    ended["custodian"] = retry(api, f"hospital {night}")
    return {
        "retried": ended,
        "published_by_the_retry": published,
        "changed_by_the_second_retry": before != (world.warehouse_digests(), exchange_digests(world)),
    }


def exchange_digests(world: NightWorld) -> dict[str, str]:
    return world.file_digests(world.root / "exchange")


def retry(api: str, name: str) -> str:
    """What the button sends, for the oldest run of this name that did not complete; its state at its new end."""
    unfinished = {"name": {"any_": [name]}, "state": {"type": {"any_": ["FAILED", "CRASHED"]}}}
    [run, *_] = post(f"{api}/flow_runs/filter", {"flow_runs": unfinished, "sort": "EXPECTED_START_TIME_ASC"})
    state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
    assert (
        post(f"{api}/flow_runs/{run['id']}/set_state", {"state": state, "force": True})["status"] == "ACCEPT"
    )
    give_up = time.monotonic() + 150
    while time.monotonic() < give_up:
        [now] = post(f"{api}/flow_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
        if now["run_count"] > run["run_count"] and now["state_type"] in ("COMPLETED", "FAILED", "CRASHED"):
            announce(f"-- {name} retried: {now['state_name']}, run {now['run_count']}")
            return str(now["state_name"])
        time.sleep(0.5)
    return f"not ended: {now['state_name']}"


def run_failing_night(world: NightWorld) -> tuple[float, str]:
    """Seconds until it was seen to have failed, and its message."""
    began, message = time.monotonic(), "no failure"
    try:
        prefect_night.run_night(world.next_night(), DemoProcesses(world.root), 240.0, announce)
    except NightlinkError as error:
        message = str(error)
    announce(f"-- failed after {time.monotonic() - began:.1f} s")
    return time.monotonic() - began, message


def announce(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


@contextmanager
def stopped(world: NightWorld, name: str) -> Iterator[None]:
    world.demo.servers[name].stop()  # type: ignore[union-attr]
    try:
        yield
    finally:
        world.demo.servers[name].start()  # type: ignore[union-attr]


@contextmanager
def hospitals_flow_run_killed(world: NightWorld) -> Iterator[None]:
    """SIGKILL to the hospital's flow run, once it has begun to write normalised rows."""
    settings = world.folder("hospital") / "settings.toml"
    spool = world.folder("hospital") / "state" / "work" / "normalised.spool"
    ended = threading.Event()

    def kill() -> None:
        while not spool.exists() and not ended.wait(0.002):
            continue
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if str(settings) in child.environ().values() and "worker" not in child.cmdline():
                    child.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        ended.set()
        killer.join()


def look_again(world: NightWorld, api: str, told: Path) -> dict[str, Any]:
    """After the failures: the same search, and then its positive control."""
    for name in LISTS:
        write_list(api, name, told)
    leaks = [str(leak) for leak in world.find_leaks()]
    return {
        "states_at_the_end": states_of_flow_runs(told),
        "leaks_at_the_end": leaks,
        "found_after_planting_in_a_log": find_planted_log(world, api, told),
    }


def states_of_flow_runs(told: Path) -> dict[str, int]:
    return Counter(run["state_name"] for run in json.loads((told / "flow_runs.json").read_text()))


def write_list(api: str, name: str, told: Path) -> int:
    """Write one of Prefect's lists as JSON; returns its length."""
    rows = post(f"{api}/{name}/filter", {"limit": 200} if name != "events" else {"filter": {}, "limit": 50})
    rows = rows["events"] if isinstance(rows, dict) else rows
    (told / f"{name}.json").write_text(json.dumps(rows, ensure_ascii=False))
    return len(rows)


def post(url: str, body: object) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def write_processes(told: Path) -> list[tuple[int, float]]:
    """Command lines and environments of all our children, as anyone with the right to look would see them."""
    listed = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            words = [*child.cmdline(), *(f"{k}={v}" for k, v in child.environ().items())]
            # Prefect's server is told its own database's URL by its environment: the one secret that lies there.
            words = [word for word in words if not word.startswith("PREFECT_API_DATABASE_CONNECTION_URL=")]
            (told / f"process-{child.pid}.txt").write_text("\n".join(words))
            listed.append((child.pid, child.create_time()))
    return listed


def find_planted_log(world: NightWorld, api: str, told: Path) -> list[str]:
    """The positive control: a planted name in one of Prefect's log lines must be found in its database."""
    [flow_run, *_] = json.loads((told / "flow_runs.json").read_text())
    line = {"name": "control", "level": 20, "message": f"row of {TEN_PEOPLE[0].family}", "flow_run_id": flow_run["id"],
            "timestamp": "2026-03-31T00:00:00Z"}  # fmt: skip
    post(f"{api}/logs/", [line])
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = sorted({os.path.relpath(leak.path, world.root) for leak in world.find_leaks()})  # type: ignore[attr-defined]
        if found:
            return found
        time.sleep(1)
    return []


if __name__ == "__main__":
    main(Path(sys.argv[1]))
